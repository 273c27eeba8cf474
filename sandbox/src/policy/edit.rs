//! Writing a permission into a policy file: the line is added, and all else stays as it is, comments and order too.

use toml_edit::{Array, DocumentMut, Item, Table, TableLike, Value};

use super::target::{Host, Target, TargetError};
use crate::audit::Kind;

/// Why a file cannot be changed.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// It is no TOML.
    #[error("it is no TOML")]
    Toml(#[from] toml_edit::TomlError),
    /// The target of the network makes no sense.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// There is something else than a table or a list.
    #[error("`{0}` is something else there than it should be")]
    Shape(String),
    /// The kind of thing is allowed in another way.
    #[error("a published port is allowed by `allowed-inbound-ports`, a list of numbers")]
    Kind,
}

/// A changed file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edited {
    /// All of it.
    pub text: String,
    /// Where the permission is: `network.allowed-domains`.
    pub key: String,
    /// What it is called there.
    pub value: String,
    /// Whether it was there already.
    pub was_there: bool,
}

/// Adds a permission to the policy in the table `above` (`["tool", "blast", "sandbox"]`) of a file.
///
/// # Errors
/// See [`EditError`]: the file is as before.
pub fn allow(text: &str, above: &[&str], kind: Kind, target: &str) -> Result<Edited, EditError> {
    let (table, list, value) = match kind {
        Kind::Net => {
            let target: Target = target.parse()?;
            let list = match target.host {
                Host::Range(_) => "allowed-ips",
                _ => "allowed-domains",
            };
            ("network", list, target.to_string())
        }
        Kind::Read => ("filesystem", "read-only", target.to_owned()),
        Kind::Write => ("filesystem", "read-write", target.to_owned()),
        Kind::Env => ("environment", "allowed", target.to_owned()),
        Kind::Publish | Kind::Sandbox => return Err(EditError::Kind),
    };
    let mut document: DocumentMut = text.parse()?;
    let mut place: &mut dyn TableLike = document.as_table_mut();
    for name in above.iter().chain([&table]) {
        place = place
            .entry(name)
            .or_insert_with(|| {
                let mut table = Table::new();
                table.set_implicit(true);
                Item::Table(table)
            })
            .as_table_like_mut()
            .ok_or_else(|| EditError::Shape((*name).to_owned()))?;
    }
    let other_spelling = list.replace('-', "_");
    let written = if place.contains_key(&other_spelling) {
        &other_spelling
    } else {
        list
    };
    let array = place
        .entry(written)
        .or_insert_with(|| Item::Value(Value::Array(Array::new())))
        .as_array_mut()
        .ok_or_else(|| EditError::Shape(written.to_owned()))?;
    let was_there = array.iter().any(|each| each.as_str() == Some(&value));
    if !was_there {
        push(array, &value);
    }
    let text = if was_there {
        text.to_owned()
    } else {
        document.to_string()
    };
    Ok(Edited {
        text,
        key: format!("{table}.{list}"),
        value,
        was_there,
    })
}

/// Appends in the style of the list: a line of its own if the others have one.
fn push(array: &mut Array, text: &str) {
    let before = array
        .iter()
        .last()
        .and_then(|last| last.decor().prefix()?.as_str().map(ToOwned::to_owned));
    let own_line = before
        .as_deref()
        .is_some_and(|prefix| prefix.contains('\n'));
    let mut value = Value::from(text);
    if let Some(prefix) = before.filter(|_| own_line) {
        if let Some(last) = array.iter_mut().last() {
            let suffix = last.decor().suffix().and_then(|suffix| suffix.as_str());
            // The end of the line comes behind the comma now.
            if suffix.is_some_and(|suffix| suffix.trim().is_empty()) {
                last.decor_mut().set_suffix("");
            }
        }
        // A comment behind the last comma stays there.
        let trailing = array.trailing().as_str().unwrap_or_default().to_owned();
        let (comment, end) = trailing.rsplit_once('\n').unwrap_or_default();
        let indent = prefix.rsplit('\n').next().unwrap_or_default();
        value.decor_mut().set_prefix(format!("{comment}\n{indent}"));
        array.push_formatted(value);
        array.set_trailing_comma(true);
        array.set_trailing(format!("\n{end}"));
    } else {
        array.push(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABOVE: &[&str] = &["tool", "blast", "sandbox"];

    fn edited(text: &str, kind: Kind, target: &str) -> String {
        allow(text, ABOVE, kind, target).expect(target).text
    }

    #[test]
    fn a_file_without_a_policy_gets_one() {
        let text = edited(
            "[project]\nname = \"x\" # mine\n",
            Kind::Net,
            "Index.test:443",
        );
        assert_eq!(
            text,
            "[project]\nname = \"x\" # mine\n\n[tool.blast.sandbox.network]\n\
             allowed-domains = [\"index.test:443\"]\n"
        );
        assert_eq!(
            edited("", Kind::Env, "CI"),
            "[tool.blast.sandbox.environment]\nallowed = [\"CI\"]\n"
        );
    }

    #[test]
    fn comments_order_and_style_stay() {
        let text = "# top\n[tool.blast.sandbox]\nlevel = \"strict\" # why\n\n\
                    [tool.blast.sandbox.network]\nallowed_domains = [\n    # the index\n    \"index.test\", # both\n]\n\
                    # end\n[tool.other]\nx = 1\n";
        let changed = edited(text, Kind::Net, "a.org");
        assert_eq!(
            changed,
            text.replace("# both\n]", "# both\n    \"a.org\",\n]"),
        );
        let bare = "[tool.blast.sandbox.environment]\nallowed = [\n  \"A\",\n  \"B\"\n]\n";
        assert_eq!(
            edited(bare, Kind::Env, "C"),
            bare.replace("\"B\"", "\"B\",\n  \"C\",")
        );
        let inline = "[tool.blast]\nsandbox = { filesystem = { read-only = [\"/a\"] } }\n";
        assert_eq!(
            edited(inline, Kind::Read, "/b"),
            "[tool.blast]\nsandbox = { filesystem = { read-only = [\"/a\", \"/b\"] } }\n"
        );
    }

    #[test]
    fn what_is_there_stays_and_what_is_wrong_is_refused() {
        let text = "[tool.blast.sandbox.network]\nallowed-ips = [\"10.0.0.1\"]\n";
        let same = allow(text, ABOVE, Kind::Net, "10.0.0.1").expect("there");
        assert!(same.was_there && same.text == text);
        for (text, target) in [
            ("[tool.blast.sandbox]\nnetwork = 3\n", "a.org"),
            (
                "[tool.blast.sandbox.network]\nallowed-domains = \"a.org\"\n",
                "b.org",
            ),
            ("[tool.blast", "a.org"),
            ("", "https://a.org"),
        ] {
            assert!(allow(text, ABOVE, Kind::Net, target).is_err(), "{text}");
        }
    }
}
