//! What a change did to an environment, in words.

use super::{style, units};
use crate::ipc::protocol::{Changed, PackageChangeView};

/// One line a package: ` + name==1.2`, ` - name==1.2`, ` ~ name 1.0 -> 1.1`.
pub(crate) fn lines(changes: &[PackageChangeView]) -> Vec<String> {
    changes.iter().map(line).collect()
}

fn line(change: &PackageChangeView) -> String {
    let name = &change.name;
    match (&change.before, &change.after) {
        (None, Some(after)) => style::good(&format!(" + {name}=={after}")),
        (Some(before), None) => style::bad(&format!(" - {name}=={before}")),
        (Some(before), Some(after)) if before == after => style::careful(&format!(
            " ~ {name}=={after} (another file of this version)"
        )),
        (Some(before), Some(after)) => style::careful(&format!(" ~ {name} {before} -> {after}")),
        (None, None) => format!("   {name}"),
    }
}

/// `+3 -1 ~2`, without what is nought; `no package changed` if all are.
pub(crate) fn summary(changes: &[PackageChangeView]) -> String {
    let count = |test: fn(&PackageChangeView) -> bool| changes.iter().filter(|c| test(c)).count();
    let parts: Vec<String> = [
        ("+", count(|change| change.before.is_none())),
        ("-", count(|change| change.after.is_none())),
        (
            "~",
            count(|change| change.before.is_some() && change.after.is_some()),
        ),
    ]
    .into_iter()
    .filter(|(_, count)| *count > 0)
    .map(|(sign, count)| format!("{sign}{count}"))
    .collect();
    if parts.is_empty() {
        "no package changed".to_owned()
    } else {
        parts.join(" ")
    }
}

/// The line below the list of a change: what it made and how to take it back.
pub(crate) fn closing(changed: &Changed, undo: &str) -> String {
    let packages = units::count(changed.packages, "package");
    if changed.dry_run {
        return format!("dry run: nothing was changed; it would then hold {packages}");
    }
    match changed.operation {
        None => format!("nothing to do: it holds {packages}, as asked for"),
        Some(operation) => {
            let undo = style::strong(&format!("`{undo}`"));
            let took = style::faint(&format!("({packages}, {:.1} ms)", changed.took_ms));
            format!("operation {operation} · undo with {undo} {took}")
        }
    }
}

#[cfg(test)]
mod tests {
    use anstream::adapter::strip_str;

    use super::*;

    fn change(name: &str, before: Option<&str>, after: Option<&str>) -> PackageChangeView {
        let own = |text: Option<&str>| text.map(ToOwned::to_owned);
        PackageChangeView {
            name: name.into(),
            before: own(before),
            after: own(after),
        }
    }

    fn all() -> Vec<PackageChangeView> {
        vec![
            change("flask", None, Some("3.1.0")),
            change("jinja2", Some("3.0"), None),
            change("click", Some("8.0"), Some("8.1")),
            change("numpy", Some("2.0"), Some("2.0")),
        ]
    }

    fn changed(operation: Option<u64>, dry_run: bool) -> Changed {
        Changed {
            operation,
            generation: None,
            dry_run,
            changes: Vec::new(),
            packages: 1,
            took_ms: 1.26,
            summary: None,
            origins: Vec::new(),
        }
    }

    #[test]
    fn each_change_has_its_sign() {
        let text = lines(&all()).join("\n");
        insta::assert_snapshot!(strip_str(&text).to_string(), @r"
         + flask==3.1.0
         - jinja2==3.0
         ~ click 8.0 -> 8.1
         ~ numpy==2.0 (another file of this version)
        ");
    }

    #[test]
    fn the_summary_leaves_out_what_is_nought() {
        assert_eq!(summary(&all()), "+1 -1 ~2");
        assert_eq!(summary(&all()[..1]), "+1");
        assert_eq!(summary(&[]), "no package changed");
    }

    #[test]
    fn the_closing_line_names_the_operation_and_its_undoing() {
        let text = closing(&changed(Some(12), false), "blast revert");
        assert_eq!(
            strip_str(&text).to_string(),
            "operation 12 · undo with `blast revert` (1 package, 1.3 ms)"
        );
        assert!(closing(&changed(None, false), "blast revert").starts_with("nothing to do"));
        assert!(closing(&changed(None, true), "blast revert").starts_with("dry run"));
    }
}
