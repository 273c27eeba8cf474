use proptest::prelude::*;

use super::*;

fn rules_of(allowed: &[&str], denied: &[&str]) -> Rules {
    let rule = |text: &&str| Rule {
        target: text.parse().expect(text),
        origin: Origin::Flag,
    };
    Rules {
        allowed: allowed.iter().map(rule).collect(),
        denied: denied.iter().map(rule).collect(),
        ports: None,
    }
}

fn allowed(rules: &Rules, names: &[&str], address: &str, port: u16) -> bool {
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let own = ["192.0.2.10".parse().expect("an address")];
    rules
        .connection(&names, address.parse().expect(address), port, &own)
        .is_allowed()
}

#[test]
fn nothing_is_allowed_where_nothing_is_said() {
    let none = rules_of(&[], &[]);
    assert!(!allowed(&none, &["index.test"], "198.51.100.1", 443));
    assert!(!none.name("index.test").is_allowed());
}

#[test]
fn name_address_and_port_must_all_fit() {
    let rules = rules_of(&["index.test:443", "198.51.100.0/24:5432"], &[]);
    assert!(allowed(&rules, &["index.test"], "203.0.113.5", 443));
    assert!(!allowed(&rules, &["index.test"], "203.0.113.5", 80));
    assert!(!allowed(&rules, &["other.org"], "203.0.113.5", 443));
    assert!(!allowed(&rules, &[], "203.0.113.5", 443));
    assert!(allowed(&rules, &[], "198.51.100.9", 5432));
    assert!(!allowed(&rules, &[], "198.51.101.9", 5432));
}

#[test]
fn a_name_never_leads_into_this_host() {
    let rules = rules_of(&["evil.example", "*.example", "*"], &[]);
    for address in [
        "127.0.0.1",
        "127.9.9.9",
        "::1",
        "169.254.169.254",
        "fe80::1",
        "192.0.2.10",
        "0.0.0.0",
        "0.1.2.3",
        "::",
        "::ffff:127.0.0.1",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "224.0.0.1",
        "ff02::1",
        "255.255.255.255",
    ] {
        assert!(
            !allowed(&rules, &["evil.example"], address, 80),
            "{address}"
        );
        assert!(!allowed(&rules, &["a.example"], address, 80), "{address}");
    }
    assert!(allowed(&rules, &["evil.example"], "10.0.0.1", 80));
    let wild = rules_of(&["*.example", "*"], &[]);
    for private in [
        "10.0.0.1",
        "100.64.0.1",
        "192.168.1.1",
        "fd00::1",
        "fec0::1",
    ] {
        assert!(!allowed(&wild, &["a.example"], private, 80), "{private}");
    }
}

#[test]
fn what_is_inside_is_allowed_by_its_own_address() {
    let wide = rules_of(&["0.0.0.0/0", "::/0"], &[]);
    for address in ["127.0.0.1", "::1", "169.254.169.254", "192.0.2.10"] {
        assert!(!allowed(&wide, &[], address, 80), "{address}");
        assert!(
            allowed(&rules_of(&[address], &[]), &[], address, 80),
            "{address}"
        );
    }
    assert!(allowed(
        &rules_of(&["127.0.0.0/8"], &[]),
        &[],
        "127.0.0.2",
        80
    ));
    assert!(allowed(
        &rules_of(&["localhost:80"], &[]),
        &["localhost"],
        "127.0.0.1",
        80
    ));
    assert!(!allowed(
        &rules_of(&["localhost:80"], &[]),
        &["localhost"],
        "192.0.2.10",
        80
    ));
    assert!(
        allowed(&wide, &[], "10.0.0.1", 80),
        "a range names private addresses"
    );
    assert!(!allowed(&rules_of(&["0.0.0.0"], &[]), &[], "0.0.0.0", 80));
}

#[test]
fn a_denial_wins() {
    let both = rules_of(
        &["*.example.org", "198.51.100.0/24"],
        &["bad.example.org", "198.51.100.7"],
    );
    assert!(allowed(&both, &["good.example.org"], "203.0.113.5", 80));
    assert!(!allowed(&both, &["bad.example.org"], "203.0.113.5", 80));
    assert!(!both.name("bad.example.org").is_allowed());
    assert!(!allowed(&both, &["good.example.org"], "198.51.100.7", 80));
    let ports = rules_of(&["example.org"], &["example.org:25"]);
    assert!(ports.name("example.org").is_allowed());
    assert!(!allowed(&ports, &["example.org"], "203.0.113.5", 25));
    assert!(allowed(&ports, &["example.org"], "203.0.113.5", 26));
    assert!(!allowed(
        &rules_of(&["example.org"], &["*"]),
        &["example.org"],
        "203.0.113.5",
        26
    ));
    let some = Rules {
        ports: Some(vec![443]),
        ..rules_of(&["example.org"], &[])
    };
    assert!(allowed(&some, &["example.org"], "203.0.113.5", 443));
    assert!(!allowed(&some, &["example.org"], "203.0.113.5", 80));
}

fn any_address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<[u8; 4]>().prop_map(IpAddr::from),
        any::<[u8; 16]>().prop_map(IpAddr::from),
        any::<[u8; 4]>().prop_map(|v4| IpAddr::V6(Ipv4Addr::from(v4).to_ipv6_mapped())),
    ]
}

proptest! {
    #[test]
    fn a_denied_address_is_denied_however_it_is_written(address in any_address(), port in 1u16..) {
        let meant = embedded(address);
        let mut rules = rules_of(&["*", "0.0.0.0/0", "::/0", "host.example"], &[]);
        rules.denied.push(Rule {
            target: Target { host: Host::Range(meant.into()), ports: Ports::ALL },
            origin: Origin::Flag,
        });
        let names = ["host.example".to_owned()];
        prop_assert!(!rules.connection(&names, address, port, &[]).is_allowed());
    }

    #[test]
    fn more_denials_never_allow_more(address in any_address(), port in 1u16.., denied in any_address()) {
        let few = rules_of(&["*:1-1000", "10.0.0.0/8"], &[]);
        let mut more = few.clone();
        more.denied.push(Rule {
            target: Target { host: Host::Range(denied.into()), ports: Ports::ALL },
            origin: Origin::Flag,
        });
        if more.connection(&[], address, port, &[]).is_allowed() {
            prop_assert!(few.connection(&[], address, port, &[]).is_allowed());
        }
    }
}
