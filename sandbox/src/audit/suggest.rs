//! A smallest policy from what was denied: for each thing the command that allows it, once.

use std::collections::BTreeMap;

use super::{Entry, command};

/// A command that would have allowed something.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Suggestion {
    /// What to type after `blast`.
    pub allow: String,
    /// How often it was denied.
    pub times: usize,
    /// When last, in milliseconds since 1970.
    pub last_ms: u64,
}

/// What would have allowed all that was denied, and was not allowed since. In the order of the words.
pub fn suggest<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Vec<Suggestion> {
    let mut found: BTreeMap<String, Suggestion> = BTreeMap::new();
    for entry in entries {
        if let Some(command) = entry.lesson() {
            let suggestion = found.entry(command.clone()).or_insert(Suggestion {
                allow: command,
                times: 0,
                last_ms: 0,
            });
            suggestion.times += 1;
            suggestion.last_ms = suggestion.last_ms.max(entry.at_ms);
        } else {
            // Somebody allowed it meanwhile.
            let command = command(&format!("{} {}", entry.kind, entry.target));
            command.and_then(|command| found.remove(&command));
        }
    }
    // A name that is denied as such says more than that name with a port.
    let all: Vec<String> = found.keys().cloned().collect();
    found.retain(|command, _| {
        let host = command.rsplit_once(':').map(|(host, _)| host);
        !host.is_some_and(|host| !host.ends_with(']') && all.iter().any(|other| other == host))
    });
    found.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::super::{Decision, Kind, Who};
    use super::*;

    fn entry(at_ms: u64, target: &str, decision: Decision) -> Entry {
        Entry {
            at_ms,
            who: Who {
                environment: "demo".into(),
                command: Vec::new(),
                uid: 0,
            },
            kind: Kind::Net,
            target: target.into(),
            address: None,
            decision,
            rule: String::new(),
            allow: Some(format!("net {target}")),
            traffic: None,
        }
    }

    #[test]
    fn each_denied_thing_is_suggested_once_unless_it_is_allowed_by_now() {
        let log = [
            entry(1, "b.org:443", Decision::Denied),
            entry(2, "a.org:443", Decision::Denied),
            entry(3, "b.org:443", Decision::Denied),
            entry(4, "c.org:443", Decision::Denied),
            entry(5, "c.org:443", Decision::Allowed),
            entry(6, "d.org", Decision::Denied),
            entry(7, "d.org:443", Decision::Denied),
        ];
        let suggested = suggest(&log);
        let commands: Vec<_> = suggested.iter().map(|each| each.allow.as_str()).collect();
        assert_eq!(
            commands,
            [
                "blast allow net a.org:443",
                "blast allow net b.org:443",
                "blast allow net d.org"
            ]
        );
        assert_eq!((suggested[1].times, suggested[1].last_ms), (2, 3));
    }

    #[test]
    fn what_a_program_made_up_is_one_word_for_a_shell_or_not_suggested() {
        for (target, suggested) in [
            ("a.org; touch x", Some("blast allow net 'a.org; touch x'")),
            ("$(id)", Some("blast allow net '$(id)'")),
            ("it's", Some(r"blast allow net 'it'\''s'")),
            (
                "[2001:db8::1]:443",
                Some("blast allow net [2001:db8::1]:443"),
            ),
            ("\u{1b}]0;x\u{7}", None),
            ("a\nb", None),
        ] {
            let log = [entry(1, target, Decision::Denied)];
            let found = suggest(&log);
            let found = found.first().map(|suggestion| suggestion.allow.as_str());
            assert_eq!(found, suggested, "{target:?}");
            let allowed = [
                entry(1, target, Decision::Denied),
                entry(2, target, Decision::Allowed),
            ];
            assert_eq!(suggest(&allowed), []);
        }
    }
}
