//! `blast status`: the environment here, the view, the daemon.

use blast_sandbox::Level as Kept;
use serde::Serialize;

use super::context::Context;
use super::options::{EnvOption, JsonOption};
use super::sandbox;
use crate::error::Error;
use crate::exit_code::Exit;
use crate::ipc::protocol::{
    EnvironmentStatus, EnvironmentView, Reply, Request, Status, ViewStatus,
};
use crate::sandbox::Of;
use crate::sandbox::state::{self, Seen, State};
use crate::ui::{Level, style, units};

/// Show the state of the environment here, of the view and of the daemon
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    env: EnvOption,
    #[command(flatten)]
    json: JsonOption,
}

/// Runs the command.
pub(super) fn run(args: &Args, context: &Context) -> Result<Exit, Error> {
    let env = match &args.env.env {
        Some(name) => Some(name.clone()),
        // A project without an environment has a status too: that of everything else.
        None => context.default_env().unwrap_or_else(|error| {
            context.printer.say(error.to_string());
            None
        }),
    };
    let Reply::Status(status) = context.ask(Request::Status { env })? else {
        return Err(Error::unexpected_reply());
    };
    let security = status
        .environment
        .as_ref()
        .map(|env| security(&env.view, context))
        .transpose()?;
    if args.json.json {
        context.printer.json(&Document {
            status: &status,
            security: security.as_ref(),
        })?;
    } else {
        let verbose = context.printer.level() >= Level::Verbose;
        context
            .printer
            .data(&render(&status, security.as_ref(), verbose))?;
    }
    Ok(Exit::Ok)
}

/// What `--json` shows.
#[derive(Debug, Serialize)]
struct Document<'a> {
    #[serde(flatten)]
    status: &'a Status,
    /// Of the environment; null where there is none.
    security: Option<&'a Security>,
}

/// What is kept from the programs of an environment.
#[derive(Debug, Serialize)]
struct Security {
    /// What the next program gets.
    level: &'static str,
    /// Whether that is kept of the programs that run; idle where none does.
    state: State,
    /// Why it is off, where that is because of this machine.
    reason: Option<String>,
    /// The sandboxes that are there, as they are seen from outside.
    sandboxes: Vec<Seen>,
}

fn security(env: &EnvironmentView, context: &Context) -> Result<Security, Error> {
    let places = context.places()?;
    let level = sandbox::level(env.project.as_deref())?;
    let sandboxes = state::look(places, Of::Environment(&places.home, &env.name));
    let reason = if level > Kept::None && sandboxes.is_empty() {
        // Settings do not tell whether there can be any: only making one does.
        blast_sandbox::probe()
            .err()
            .map(|failure| failure.to_string())
    } else {
        None
    };
    let state = if level == Kept::None || reason.is_some() {
        State::Off
    } else if sandboxes.is_empty() {
        State::Idle
    } else if sandboxes.iter().all(|seen| weak(seen).is_empty()) {
        State::Active
    } else {
        State::Degraded
    };
    Ok(Security {
        level: level.as_str(),
        state,
        reason,
        sandboxes,
    })
}

/// What of a sandbox is not wholly kept.
fn weak(seen: &Seen) -> Vec<&'static str> {
    let layers = [
        ("files", seen.filesystem),
        ("network", seen.network),
        ("system calls", seen.seccomp),
    ];
    let mut weak: Vec<&str> = layers
        .into_iter()
        .filter(|(_, state)| matches!(state, State::Degraded | State::Off))
        .map(|(name, _)| name)
        .collect();
    let is_apart = |state: &State| *state == State::Active;
    if !seen.namespaces.values().all(is_apart) {
        weak.push("namespaces");
    }
    weak
}

fn sandboxes(security: &Security) -> String {
    let mut level = format!("level {}", security.level);
    if let Some(reason) = &security.reason {
        level = format!("{level}, but none can be made on this machine ({reason})");
    }
    let each = security.sandboxes.iter().map(|seen| {
        let programs = match seen.programs {
            0 => "nobody inside".to_owned(),
            1 => "1 process inside".to_owned(),
            several => format!("{several} processes inside"),
        };
        let weak = weak(seen);
        let weak = if weak.is_empty() {
            String::new()
        } else {
            format!(" (not wholly kept: {})", weak.join(", "))
        };
        format!("; kept by process {}, {programs}{weak}", seen.process)
    });
    std::iter::once(level).chain(each).collect()
}

fn render(status: &Status, security: Option<&Security>, verbose: bool) -> String {
    let mut rows = Vec::new();
    if let Some(env) = &status.environment {
        rows.extend(environment(env));
    }
    rows.extend(security.map(|security| ("sandbox", sandboxes(security))));
    let view = &status.view;
    rows.push((
        "view",
        match (&view.links, &view.reason) {
            (Some(links), Some(reason)) => {
                let (mode, live) = (&view.mode, view.live.display());
                format!("{mode} at {live}: plain files, {links} ({reason})")
            }
            (_, Some(reason)) => format!("{} ({reason})", view.mode),
            (_, None) => match view.namespace {
                None => format!("{} at {}", view.mode, view.live.display()),
                Some(process) => format!(
                    "{} at {}, in the namespaces of process {process} (`fusermount3` is not \
                     installed): seen by what blast starts, and by no other program",
                    view.mode,
                    view.live.display()
                ),
            },
        },
    ));
    if view.bytecode_pending > 0 {
        let layers = units::count(view.bytecode_pending, "layer");
        rows.push(("bytecode", format!("{layers} being compiled")));
    }
    let environments = units::count(status.store.environments, "environment");
    rows.push((
        "store",
        format!("{} ({environments})", status.store.home.display()),
    ));
    let daemon = &status.daemon;
    rows.push((
        "daemon",
        format!(
            "blast {}, process {}, {}, up {}",
            daemon.build,
            daemon.pid,
            units::bytes(daemon.memory_bytes),
            units::duration_ms(daemon.uptime_s.max(1).saturating_mul(1000))
        ),
    ));
    rows.extend(daemon.holder.map(|pid| ("holder", holder(pid, view))));
    let mut text = lines(&rows);
    if verbose {
        for (kind, count) in &view.requests {
            text.push_str(&style::faint(&format!("  fuse {kind}: {count}")));
            text.push('\n');
        }
    }
    text
}

fn holder(pid: u32, view: &ViewStatus) -> String {
    let mut text = format!("process {pid}");
    if !view.resend && view.mode == "view" {
        text.push_str(
            ", which this kernel gives no use: it cannot resend requests (Linux 6.9 can)",
        );
    }
    if view.takeovers > 0 {
        text.push_str("; the view changed hands ");
        text.push_str(&units::count(view.takeovers as usize, "time"));
    }
    text
}

fn environment(env: &EnvironmentStatus) -> Vec<(&'static str, String)> {
    let view = &env.view;
    let generation = view.generation.to_string();
    let mut rows = vec![("environment", style::strong(view.name.as_str()))];
    if let Some(project) = &view.project {
        rows.push(("project", project.display().to_string()));
    }
    rows.push(("prefix", view.prefix.display().to_string()));
    rows.push((
        "python",
        format!("{} ({})", view.python, env.interpreter.display()),
    ));
    let wanted = if env.requirements.is_empty() {
        String::new()
    } else {
        format!(" (asked for: {})", env.requirements.join(", "))
    };
    rows.push(("packages", format!("{}{wanted}", view.packages)));
    rows.push((
        "state",
        format!(
            "operation {}, generation {}",
            view.operation,
            units::short(&generation)
        ),
    ));
    if let Some(undo) = &env.undo {
        rows.push(("revert", format!("`blast revert` would undo: {undo}")));
    }
    if let Some(redo) = &env.redo {
        rows.push(("redo", format!("`blast redo` would do again: {redo}")));
    }
    rows
}

fn lines(rows: &[(&str, String)]) -> String {
    let wide = rows.iter().map(|(label, _)| label.len()).max().unwrap_or(0);
    rows.iter()
        .map(|(label, value)| format!("{label:<wide$}  {value}\n"))
        .collect::<Vec<_>>()
        .concat()
}

#[cfg(test)]
mod tests {
    use anstream::adapter::strip_str;

    use super::*;
    use crate::ipc::protocol::{DaemonStatus, StoreStatus};

    fn status(environment: Option<EnvironmentStatus>) -> Status {
        Status {
            daemon: DaemonStatus {
                build: "0.1.0".into(),
                pid: 42,
                uptime_s: 90,
                memory_bytes: 12_000_000,
                holder: Some(43),
                requests: 1,
            },
            view: ViewStatus {
                mode: "view".into(),
                reason: None,
                links: None,
                live: "/home/blast/live".into(),
                namespace: None,
                requests: [("lookup".to_owned(), 12)].into(),
                resend: true,
                takeovers: 2,
                bytecode_pending: 0,
            },
            store: StoreStatus {
                home: "/home/blast".into(),
                environments: 1,
            },
            environment,
        }
    }

    #[test]
    fn without_an_environment_the_rest_is_shown() {
        insta::assert_snapshot!(render(&status(None), None, false), @r"
        view    view at /home/blast/live
        store   /home/blast (1 environment)
        daemon  blast 0.1.0, process 42, 12.0 MB, up 1 min 30 s
        holder  process 43; the view changed hands 2 times
        ");
    }

    #[test]
    fn plain_files_say_why_and_how() {
        let mut status = status(None);
        status.view.mode = "materialised".into();
        status.view.reason = Some("/dev/fuse does not exist".into());
        status.view.links = Some("hard links".into());
        let text = render(&status, None, false);
        let line = text.lines().next().expect("lines");
        assert_eq!(
            line,
            "view    materialised at /home/blast/live: plain files, hard links (/dev/fuse does not \
             exist)"
        );
    }

    #[test]
    fn an_environment_says_what_revert_would_do() {
        let environment = EnvironmentStatus {
            view: EnvironmentView {
                name: "demo".parse().expect("valid"),
                prefix: "/home/blast/live/demo".into(),
                project: None,
                python: "3.12.1".into(),
                packages: 7,
                generation: "ab".repeat(32).parse().expect("a digest"),
                operation: 3,
                changed_ms: 0,
            },
            interpreter: "/usr/bin/python3.12".into(),
            site_packages: "/home/blast/live/demo/lib/python3.12/site-packages".into(),
            requirements: vec!["flask".into()],
            undo: Some("install flask".into()),
            redo: None,
        };
        let security = Security {
            level: "standard",
            state: State::Idle,
            reason: None,
            sandboxes: Vec::new(),
        };
        let shown = render(&status(Some(environment)), Some(&security), true);
        insta::assert_snapshot!(strip_str(&shown).to_string(), @r"
        environment  demo
        prefix       /home/blast/live/demo
        python       3.12.1 (/usr/bin/python3.12)
        packages     7 (asked for: flask)
        state        operation 3, generation abababababab
        revert       `blast revert` would undo: install flask
        sandbox      level standard
        view         view at /home/blast/live
        store        /home/blast (1 environment)
        daemon       blast 0.1.0, process 42, 12.0 MB, up 1 min 30 s
        holder       process 43; the view changed hands 2 times
          fuse lookup: 12
        ");
    }
}
