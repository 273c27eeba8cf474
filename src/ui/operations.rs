//! Operations of a history, in words.

use jiff::tz::TimeZone;

use super::table::Table;
use super::{changes, style, units};
use crate::command_line::command_line;
use crate::ipc::protocol::OperationView;

/// Longer command lines are cut in a table.
const WIDEST_COMMAND: usize = 60;

/// One line an operation; `@` marks the present state.
pub(crate) fn table(operations: &[OperationView], zone: &TimeZone) -> String {
    let headings = [
        " ", "Id", "When", "Who", "Took", "What", "Changes", "Command",
    ];
    let mut table = Table::new(&headings);
    for operation in operations {
        let mark = if operation.current { "@" } else { "" };
        table.row([
            mark.to_owned(),
            operation.id.to_string(),
            units::time(operation.at_ms, zone),
            operation.who.clone(),
            units::duration_ms(operation.duration_ms),
            operation.summary.clone(),
            changes::summary(&operation.changes),
            cut(command(operation)),
        ]);
    }
    table.render()
}

/// All of an operation, a line for each package that it changed.
pub(crate) fn whole(operation: &OperationView, zone: &TimeZone) -> String {
    let mark = if operation.current { "@ " } else { "" };
    let heading = format!("{mark}operation {}: {}", operation.id, operation.summary);
    let mut lines = vec![
        style::strong(&heading),
        format!(
            "   {} by {}, took {}",
            units::time(operation.at_ms, zone),
            operation.who,
            units::duration_ms(operation.duration_ms)
        ),
    ];
    if !operation.command.is_empty() {
        lines.push(format!("   {}", command_line(&operation.command)));
    }
    lines.extend(operation.note.iter().map(|note| format!("   {note}")));
    lines.push(style::faint(&format!("   generation {}", operation.after)));
    lines.extend(
        changes::lines(&operation.changes)
            .into_iter()
            .map(|line| format!("  {line}")),
    );
    lines.join("\n") + "\n"
}

/// What made it; where no command is known, what is.
fn command(operation: &OperationView) -> String {
    if operation.command.is_empty() {
        let note = operation.note.clone();
        return note.map_or_else(String::new, |note| format!("({note})"));
    }
    command_line(&operation.command)
}

fn cut(line: String) -> String {
    if line.chars().count() <= WIDEST_COMMAND {
        return line;
    }
    let kept: String = line.chars().take(WIDEST_COMMAND - 1).collect();
    kept + "…"
}

#[cfg(test)]
mod tests {
    use anstream::adapter::strip_str;

    use super::*;
    use crate::ipc::protocol::PackageChangeView;

    fn operation(id: u64, current: bool) -> OperationView {
        let generation = "ab".repeat(32).parse().expect("a digest");
        OperationView {
            id,
            kind: "install".into(),
            summary: "install flask".into(),
            at_ms: 1_782_000_000_000,
            duration_ms: 1250,
            who: "ada".into(),
            command: ["/opt/bin/blast", "install", "flask>=3"]
                .map(String::from)
                .into(),
            before: None,
            after: generation,
            current,
            note: Some("because".into()),
            changes: vec![PackageChangeView {
                name: "flask".into(),
                before: None,
                after: Some("3.1".into()),
            }],
        }
    }

    #[test]
    fn the_present_state_is_marked() {
        let text = table(&[operation(2, true), operation(1, false)], &TimeZone::UTC);
        insta::assert_snapshot!(strip_str(&text).to_string(), @r"
           Id  When              Who  Took   What           Changes  Command
        @  2   2026-06-21 00:00  ada  1.2 s  install flask  +1       blast install 'flask>=3'
           1   2026-06-21 00:00  ada  1.2 s  install flask  +1       blast install 'flask>=3'
        ");
    }

    #[test]
    fn the_long_form_tells_who_and_how() {
        let text = whole(&operation(2, true), &TimeZone::UTC);
        insta::assert_snapshot!(strip_str(&text).to_string(), @r"
        @ operation 2: install flask
           2026-06-21 00:00 by ada, took 1.2 s
           blast install 'flask>=3'
           because
           generation abababababababababababababababababababababababababababababababab
           + flask==3.1
        ");
    }

    #[test]
    fn a_long_command_is_cut_in_a_table() {
        let long = cut("x".repeat(WIDEST_COMMAND + 1));
        assert_eq!(
            (long.chars().count(), long.ends_with('…')),
            (WIDEST_COMMAND, true)
        );
    }
}
