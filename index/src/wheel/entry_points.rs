//! `entry_points.txt`: the console and gui scripts among the entry points of a distribution.

use super::error::WheelProblem;

/// A script that calls `module:attribute`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryPoint {
    /// Name of the script; one plain file name.
    pub name: String,
    /// Module to import, dotted.
    pub module: String,
    /// What to call in it, dotted.
    pub attribute: String,
    /// From `gui_scripts`; no difference on Linux, kept for truth.
    pub gui: bool,
}

/// Reads the scripts of an `entry_points.txt`. Other groups are left alone.
///
/// # Errors
/// [`WheelProblem::EntryPoint`] for a script that has no plain file name or nothing to call; pip
/// refuses those too.
pub fn parse(text: &str) -> Result<Vec<EntryPoint>, WheelProblem> {
    let mut scripts: Vec<EntryPoint> = Vec::new();
    let mut section = "";
    for line in text.strip_prefix('\u{feff}').unwrap_or(text).lines() {
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = line
            .strip_prefix('[')
            .and_then(|rest| rest.split(']').next())
        {
            section = name.trim();
            continue;
        }
        let gui = match section {
            "console_scripts" => false,
            "gui_scripts" => true,
            _ => continue,
        };
        let script = script(line, gui)?;
        // Within a group the last one wins, as in the parser that Python uses.
        scripts.retain(|other| other.name != script.name || other.gui != gui);
        scripts.push(script);
    }
    Ok(scripts)
}

fn script(line: &str, gui: bool) -> Result<EntryPoint, WheelProblem> {
    let bad = |why: &str| WheelProblem::EntryPoint(format!("the script `{line}` {why}"));
    let (name, target) = line.split_once('=').ok_or_else(|| bad("calls nothing"))?;
    let name = name.trim();
    if name.is_empty()
        || matches!(name, "." | "..")
        || name.contains(['/', '\\'])
        || name.contains(char::is_control)
    {
        return Err(bad("has no plain file name"));
    }
    // `module:attribute [extra, …]`; extras are ignored, as the specification asks.
    let target = target.split('[').next().unwrap_or_default().trim();
    let (module, attribute) = target
        .split_once(':')
        .ok_or_else(|| bad("names no function"))?;
    let (module, attribute) = (module.trim(), attribute.trim());
    if !is_dotted(module) || !is_dotted(attribute) {
        // Both end up in Python source, so nothing but identifiers may pass.
        return Err(bad("does not name a module and a function"));
    }
    let owned = str::to_owned;
    Ok(EntryPoint {
        name: owned(name),
        module: owned(module),
        attribute: owned(attribute),
        gui,
    })
}

fn is_dotted(text: &str) -> bool {
    let identifier = |part: &str| {
        let mut characters = part.chars();
        characters
            .next()
            .is_some_and(|c| c.is_alphabetic() || c == '_')
            && characters.all(|c| c.is_alphanumeric() || c == '_')
    };
    text.split('.').all(identifier)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_are_found_among_other_groups() {
        let scripts = parse(
            "# x\n[console_scripts]\nflask = flask.cli:main\n my.tool=a:b.c [extra]\n\n\
             [other]\nx = what ever\n[gui_scripts]\nwin = a:_w\nflask = z:z\n\
             [console_scripts]\nflask = flask.cli:again\n",
        )
        .expect("valid");
        let shown: Vec<_> = scripts
            .iter()
            .map(|s| format!("{} {}:{} {}", s.name, s.module, s.attribute, s.gui))
            .collect();
        assert_eq!(
            shown,
            [
                "my.tool a:b.c false",
                "win a:_w true",
                "flask z:z true",
                "flask flask.cli:again false"
            ]
        );
    }

    #[test]
    fn what_could_leave_the_folder_or_run_code_is_refused() {
        for line in [
            "../x = a:b",
            "a/b = a:b",
            "x = a",
            "x",
            " = a:b",
            ".. = a:b",
            "x = a:b()",
            "x = os;evil:b",
            "x = a:",
            "x\0y = a:b",
            "x = a..b:c",
        ] {
            assert!(
                parse(&format!("[console_scripts]\n{line}")).is_err(),
                "{line}"
            );
        }
    }
}
