use std::net::IpAddr;
use std::path::Path;

use proptest::prelude::*;

use super::super::schema::Table;
use super::super::target::Target;
use super::*;
use crate::net::Publish;

fn layer(speaker: Speaker, text: &str) -> Layer {
    let table: Table = toml::from_str(text).expect(text);
    let path = Path::new(match speaker {
        Speaker::System => "/etc/blast/config.toml",
        Speaker::User => "/home/ada/.config/blast/config.toml",
        Speaker::Project => "/home/ada/project/pyproject.toml",
    });
    Layer::read(&table, text, speaker, path, Path::new("/home/ada"))
}

fn shown(merged: &Merged) -> Vec<String> {
    let line = |line: &Line| {
        let by = line
            .overruled_by
            .as_ref()
            .map(|by| format!(" (overruled by {by})"));
        format!(
            "{} = {} {}{}",
            line.key,
            line.value,
            line.origin,
            by.unwrap_or_default()
        )
    };
    merged.lines.iter().map(line).collect()
}

#[test]
fn the_strictest_wins_and_each_line_says_where_it_is_written() {
    let merged = merge(&[
        layer(Speaker::System, "resources.memory-max = \"4G\"\n"),
        layer(
            Speaker::User,
            "level = \"strict\"\n[network]\nallow-inbound = false\ndenied-domains = [\n  \"evil.org\",\n]\n\
             [filesystem]\nread-only = [\"~/data\"]\n[environment]\ndenied = [\"TOKEN\"]\n",
        ),
        layer(
            Speaker::Project,
            "level = \"standard\"\nresources.memory-max = \"8G\"\n[network]\n\
             allowed-domains = [\"evil.org\"]\nallowed-inbound-ports = [5000]\n\
             [filesystem]\nread-write = [\"../data/x\", \"/home/ada/data/x\", \"out\"]\n\
             [environment]\nallowed = [\"TOKEN\", \"CI\"]\n",
        ),
    ]);
    let user = "/home/ada/.config/blast/config.toml";
    let project = "/home/ada/project/pyproject.toml";
    assert_eq!(
        shown(&merged),
        [
            "resources.memory-max = 4G /etc/blast/config.toml:1".to_owned(),
            format!("level = strict {user}:1"),
            format!("network.allow-inbound = false {user}:3"),
            format!("network.denied-domains = evil.org {user}:5"),
            format!("filesystem.read-only = /home/ada/data {user}:8"),
            format!("environment.denied = TOKEN {user}:10"),
            format!("level = standard {project}:1 (overruled by {user}:1)"),
            format!("network.allowed-inbound-ports = 5000 {project}:5 (overruled by {user}:3)"),
            format!("network.allowed-domains = evil.org {project}:4"),
            format!(
                "resources.memory-max = 8G {project}:2 (overruled by /etc/blast/config.toml:1)"
            ),
            format!("filesystem.read-write = /home/ada/project/../data/x {project}:7"),
            format!("filesystem.read-write = /home/ada/data/x {project}:7 (overruled by {user}:8)"),
            format!("filesystem.read-write = /home/ada/project/out {project}:7"),
            format!("environment.allowed = TOKEN {project}:9 (overruled by {user}:10)"),
            format!("environment.allowed = CI {project}:9"),
        ]
    );
    let policy = merged.policy;
    assert_eq!(policy.level, Level::Strict);
    assert_eq!(policy.limits.memory_bytes, Some(4 << 30));
    assert!(policy.network.publish.is_empty());
    assert_eq!(policy.variables.keys().collect::<Vec<_>>(), ["CI"]);
    let verdict = policy.network.rules.name("evil.org");
    assert!(!verdict.is_allowed());
}

#[test]
fn a_flag_gives_the_level_but_not_below_the_systems() {
    let user = layer(Speaker::User, "level = \"strict\"");
    let flag = |level| Layer::of_flags(Some(level), &Policy::default());
    let level = |layers: &[Layer]| merge(layers).policy.level;
    assert_eq!(level(&[user.clone(), flag(Level::None)]), Level::None);
    let system = layer(Speaker::System, "level = \"standard\"");
    assert_eq!(
        level(&[system.clone(), user.clone(), flag(Level::None)]),
        Level::Standard
    );
    assert_eq!(level(&[system, user]), Level::Strict);
    assert_eq!(level(&[]), Level::Standard);
}

/// Something that anybody may say.
fn saying() -> impl Strategy<Value = (&'static str, Value)> {
    let target = |text: &str| text.parse::<Target>().expect(text);
    let small = 1_u64..6;
    prop_oneof![
        proptest::sample::select(&Level::ALL[..]).prop_map(|level| ("level", Value::Level(level))),
        any::<bool>().prop_map(|flag| ("network.allow-outbound", Value::Flag(flag))),
        any::<bool>().prop_map(|flag| ("network.allow-inbound", Value::Flag(flag))),
        small
            .clone()
            .prop_map(|number| ("network.max-connections", Value::Number(number))),
        small
            .clone()
            .prop_map(|number| ("resources.memory-max", Value::Size(Size(number)))),
        small.prop_map(|number| ("resources.pids-max", Value::Number(number))),
        proptest::collection::vec(1_u16..4, 0..3)
            .prop_map(|ports| ("network.allowed-outbound-ports", Value::Ports(ports))),
        proptest::sample::select(vec!["*", "*.a.org", "a.org", "a.org:1", "b.org:2-3"])
            .prop_map(move |text| ("network.allowed-domains", Value::Target(target(text)))),
        proptest::sample::select(vec!["a.org", "x.a.org:2", "b.org", "*:3"])
            .prop_map(move |text| ("network.denied-domains", Value::Target(target(text)))),
        proptest::sample::select(vec!["198.51.100.0/24", "127.0.0.1:1"])
            .prop_map(move |text| ("network.allowed-ips", Value::Target(target(text)))),
        proptest::sample::select(vec!["198.51.100.7", "0.0.0.0/0:2"])
            .prop_map(move |text| ("network.denied-ips", Value::Target(target(text)))),
        (1_u16..4).prop_map(|port| {
            let publish = Publish {
                outside: port,
                inside: port,
            };
            ("network.allowed-inbound-ports", Value::Publish(publish))
        }),
        proptest::sample::select(vec!["A", "B"])
            .prop_map(|name| ("environment.allowed", Value::Name(name.to_owned()))),
        proptest::sample::select(vec!["A", "B"])
            .prop_map(|name| ("environment.denied", Value::Name(name.to_owned()))),
        proptest::sample::select(vec!["/a", "/a/b", "/c"])
            .prop_map(|path| ("filesystem.read-write", Value::Path(path.into()))),
        proptest::sample::select(vec!["/a", "/c"])
            .prop_map(|path| ("filesystem.read-only", Value::Path(path.into()))),
        proptest::sample::select(vec!["/a", "/a/b"])
            .prop_map(|path| ("filesystem.hidden", Value::Path(path.into()))),
    ]
}

fn any_layer(speaker: Speaker) -> impl Strategy<Value = Layer> {
    proptest::collection::vec(saying(), 0..8).prop_map(move |all| {
        let said = |(line, (key, value)): (usize, (&'static str, Value))| Said {
            key,
            value,
            origin: Origin::File {
                speaker,
                path: "/x".into(),
                line,
            },
        };
        Layer {
            items: all.into_iter().enumerate().map(said).collect(),
            build: Vec::new(),
        }
    })
}

/// Whether each limit of one holds in the other.
fn keeps_limits(strict: &Policy, of: &Policy) -> bool {
    let kept = |new: Option<u64>, old: Option<u64>| {
        old.is_none_or(|old| new.is_some_and(|new| new <= old))
    };
    let connections = |policy: &Policy| policy.network.limits.connections.map(u64::from);
    strict.level >= of.level
        && kept(strict.limits.memory_bytes, of.limits.memory_bytes)
        && kept(strict.limits.processes, of.limits.processes)
        && kept(connections(strict), connections(of))
        && of
            .files
            .hidden
            .iter()
            .all(|path| strict.files.hidden.contains(path))
}

fn connections() -> impl Iterator<Item = (Vec<String>, IpAddr, u16)> {
    let names = ["a.org", "x.a.org", "b.org"].map(|name| vec![name.to_owned()]);
    let addresses = ["198.51.100.7", "198.51.100.8", "203.0.113.1", "127.0.0.1"];
    names
        .into_iter()
        .chain([Vec::new()])
        .flat_map(move |names| {
            addresses.into_iter().flat_map(move |address| {
                let names = names.clone();
                let address: IpAddr = address.parse().expect("an address");
                (1..4).map(move |port| (names.clone(), address, port))
            })
        })
}

proptest! {
    #[test]
    fn a_project_never_widens_what_others_deny(
        system in any_layer(Speaker::System),
        user in any_layer(Speaker::User),
        project in any_layer(Speaker::Project),
    ) {
        let mut before = merge(&[system.clone(), user.clone()]).policy;
        if !(system.items.iter().chain(&user.items)).any(|said| said.key == "level") {
            // What holds because nobody said anything is for the project to say.
            before.level = Level::None;
        }
        let after = merge(&[system.clone(), user.clone(), project]).policy;
        prop_assert!(keeps_limits(&after, &before));
        let said = |key: &str| {
            system.items.iter().chain(&user.items).filter(|said| said.key == key).collect::<Vec<_>>()
        };
        let refused = |key| said(key).iter().any(|said| said.value == Value::Flag(false));
        if refused("network.allow-outbound") {
            prop_assert!(after.network.rules.allowed.is_empty());
        }
        if refused("network.allow-inbound") {
            prop_assert!(after.network.publish.is_empty());
        }
        for denied in said("environment.denied") {
            if let Value::Name(name) = &denied.value {
                prop_assert!(!after.variables.contains_key(name));
            }
        }
        // What somebody denies by a rule, or leaves out of the ports, nobody reaches.
        for (names, address, port) in connections() {
            let denials = crate::policy::verdict::Rules {
                allowed: after.network.rules.allowed.clone(),
                ..before.network.rules.clone()
            };
            if !denials.connection(&names, address, port, &[]).is_allowed() {
                let verdict = after.network.rules.connection(&names, address, port, &[]);
                prop_assert!(!verdict.is_allowed(), "{names:?} {address} {port}");
            }
        }
        for path in &after.files.read_write {
            let locked = said("filesystem.read-only").into_iter().any(|said| {
                matches!(&said.value, Value::Path(above) if path.starts_with(above))
            });
            let given = said("filesystem.read-write").into_iter().any(|said| {
                said.value == Value::Path(path.clone())
            });
            prop_assert!(!locked || given, "{}", path.display());
        }
    }

    #[test]
    fn the_order_of_layers_decides_nothing(
        system in any_layer(Speaker::System),
        user in any_layer(Speaker::User),
        project in any_layer(Speaker::Project),
    ) {
        let one = merge(&[system.clone(), user.clone(), project.clone()]).policy;
        let other = merge(&[project, system, user]).policy;
        prop_assert!(keeps_limits(&one, &other) && keeps_limits(&other, &one));
        prop_assert_eq!(&one.variables, &other.variables);
        for (names, address, port) in connections() {
            let verdicts = [&one, &other].map(|policy| {
                policy.network.rules.connection(&names, address, port, &[]).is_allowed()
            });
            prop_assert_eq!(verdicts[0], verdicts[1]);
        }
    }

    #[test]
    fn every_line_is_kept(user in any_layer(Speaker::User), project in any_layer(Speaker::Project)) {
        let merged = merge(&[user.clone(), project.clone()]);
        prop_assert_eq!(merged.lines.len(), user.items.len() + project.items.len());
    }
}

#[test]
fn builds_get_what_is_said_of_them_and_nothing_of_what_is_denied_to_programs() {
    let user = layer(
        Speaker::User,
        "network.denied-domains = [\"evil.org\"]\nnetwork.allowed-domains = [\"index.test\"]\n\
         resources.memory-max = \"1G\"\nfilesystem.hidden = [\"/secret\"]\n",
    );
    let project = layer(
        Speaker::Project,
        "level = \"none\"\nbuild.network.allowed-domains = [\"a.test\"]\n\
         build.filesystem.read-only = [\"~/.cargo\"]\n",
    );
    let merged = merge_build(&[user.clone(), project]);
    let policy = &merged.policy;
    assert_eq!(policy.level, Level::Strict);
    let target = |rules: &[Rule]| {
        let shown: Vec<_> = rules.iter().map(|rule| rule.target.to_string()).collect();
        shown.join(" ")
    };
    assert_eq!(target(&policy.network.rules.allowed), "a.test");
    assert_eq!(target(&policy.network.rules.denied), "evil.org");
    assert_eq!(policy.files.read_only, [PathBuf::from("/home/ada/.cargo")]);
    assert_eq!(policy.files.hidden, [PathBuf::from("/secret")]);
    assert_eq!(policy.limits.memory_bytes, None);
    assert_eq!(
        shown(&merged),
        [
            "build.network.allowed-domains = a.test /home/ada/project/pyproject.toml:2",
            "build.filesystem.read-only = /home/ada/.cargo /home/ada/project/pyproject.toml:3",
        ]
    );
    let refusing = layer(Speaker::System, "network.allow-outbound = false\n");
    let asking = layer(
        Speaker::Project,
        "build.level = \"standard\"\nbuild.network.allowed-domains = [\"a.test\"]\n",
    );
    let merged = merge_build(&[refusing, user, asking]);
    assert_eq!(merged.policy.level, Level::Standard);
    assert_eq!(merged.policy.network.rules.allowed, []);
}

#[test]
fn the_user_is_the_systems_then_the_flags_then_the_users_then_the_projects_and_of_builds_too() {
    let said = |speaker, user: &str| layer(speaker, &format!("user = {user}\n"));
    let project = said(Speaker::Project, "1000");
    let user = said(Speaker::User, "\"ada\"");
    let system = said(Speaker::System, "\"nobody\"");
    let flag = Layer::of_flags(
        None,
        &Policy {
            user: Some("flag".to_owned()),
            ..Policy::default()
        },
    );
    let of = |layers: &[Layer]| merge(layers).policy.user;
    let all = [system, user.clone(), project.clone(), flag.clone()];
    assert_eq!(of(&all), Some("nobody".to_owned()));
    assert_eq!(
        of(&[user.clone(), project.clone(), flag]),
        Some("flag".to_owned())
    );
    assert_eq!(of(&[project.clone(), user]), Some("ada".to_owned()));
    assert_eq!(of(std::slice::from_ref(&project)), Some("1000".to_owned()));
    assert_eq!(merge_build(&[project]).policy.user, Some("1000".to_owned()));
    assert!(shown(&merge(&all))[2].contains("overruled by /etc"));
    for wrong in ["0", "\"root\"", "\"\"", "-1"] {
        assert!(
            toml::from_str::<Table>(&format!("user = {wrong}")).is_err(),
            "{wrong}"
        );
    }
}

#[test]
fn what_is_shown_elsewhere_is_nothing_denied_and_nothing_written_that_the_user_lets_be_read_only() {
    let user = layer(
        Speaker::User,
        "[filesystem]\nread-only = [\"~/data/kept\"]\ndenied = [\"~/.ssh\"]\n\
         mounts = { \"/mine\" = \"~/mine\" }\nroot-dir = \"/home/ada/project/src\"\n",
    );
    let project = layer(
        Speaker::Project,
        "[filesystem]\nroot_dir = \"src/part\"\n[filesystem.mount_points]\n\"/keys\" = \"~/.ssh/id\"\n\
         \"/mine\" = \"~/other\"\n\"/data\" = { source = \"~/data\", read_write = true }\n\
         \"/out\" = { source = \"out\", read-write = true }\n",
    );
    let merged = merge(&[project, user.clone()]);
    let shown = |target: &str, source: &str, write| Shown {
        source: source.into(),
        target: target.into(),
        write,
    };
    assert_eq!(
        merged.policy.files.mounts,
        [
            shown("/mine", "/home/ada/mine", false),
            shown("/data", "/home/ada/data", false),
            shown("/out", "/home/ada/project/out", true),
        ]
    );
    let over = |merged: &Merged| {
        let lines = merged
            .lines
            .iter()
            .filter(|line| line.overruled_by.is_some());
        lines.map(|line| line.value.clone()).collect::<Vec<_>>()
    };
    assert_eq!(
        over(&merged),
        [
            "/home/ada/data at /data, read and written",
            "/home/ada/.ssh/id at /keys",
            "/home/ada/other at /mine",
        ]
    );
    // A part of a part, and not the whole.
    let root = |merged: &Merged| merged.policy.files.root.clone();
    assert_eq!(root(&merged), Some("/home/ada/project/src/part".into()));
    let wide = layer(Speaker::Project, "filesystem.root-dir = \".\"\n");
    let merged = merge(&[user, wide]);
    assert_eq!(root(&merged), Some("/home/ada/project/src".into()));
    assert_eq!(over(&merged).len(), 1);
    // Links are followed later, so who is stronger is not forgotten.
    let kept = PathBuf::from("/home/ada/data/kept");
    let merged = merge(&[
        layer(Speaker::User, "filesystem.read-only = [\"~/data/kept\"]\n"),
        layer(Speaker::Project, "filesystem.read-write = [\"link\"]\n"),
    ]);
    assert_eq!(
        merged
            .policy
            .files
            .stronger
            .into_values()
            .collect::<Vec<_>>(),
        [vec![kept]]
    );
}
