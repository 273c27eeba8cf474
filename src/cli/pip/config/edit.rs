//! Edits of a configuration file of pip's, as text: what is not meant stays as it is written, comments too.

use std::ops::Range;

/// The text with this value in place of the one it has, or added to the section, which is added itself
/// where it is missing.
pub(super) fn set(text: &str, section: &str, key: &str, value: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    // A line that starts with white space continues the value before it.
    let new = format!("{key} = {}", value.replace('\n', "\n\t"));
    let mut edited: Vec<&str> = Vec::with_capacity(lines.len() + 3);
    let found = places(&lines, section, key);
    if let [first, others @ ..] = &found[..] {
        edited.extend(&lines[..first.start]);
        edited.push(&new);
        let rest = first.end..lines.len();
        edited.extend(without(&lines, rest, others));
        return joined(&edited);
    }
    let header = format!("[{section}]");
    if let Some(end) = end_of(&lines, section) {
        edited.extend(&lines[..end]);
        edited.push(&new);
        edited.extend(&lines[end..]);
    } else {
        edited.extend(&lines);
        if lines.last().is_some_and(|line| !line.trim().is_empty()) {
            edited.push("");
        }
        edited.extend([header.as_str(), &new]);
    }
    joined(&edited)
}

/// The text without this key; none where it is not there. A section that has nothing else goes with it.
pub(super) fn unset(text: &str, section: &str, key: &str) -> Option<String> {
    let lines: Vec<&str> = text.lines().collect();
    let mut gone = places(&lines, section, key);
    if gone.is_empty() {
        return None;
    }
    for whole in sections(&lines, section) {
        let inner = whole.start + 1..whole.end;
        let left = without(&lines, inner, &gone);
        if left.iter().all(|line| line.trim().is_empty()) {
            gone.retain(|place| !whole.contains(&place.start));
            gone.push(whole);
        }
    }
    Some(joined(&without(&lines, 0..lines.len(), &gone)))
}

/// The lines of a range that are in none of the others.
fn without<'a>(lines: &[&'a str], range: Range<usize>, gone: &[Range<usize>]) -> Vec<&'a str> {
    range
        .filter(|at| !gone.iter().any(|place| place.contains(at)))
        .map(|at| lines[at])
        .collect()
}

fn joined(lines: &[&str]) -> String {
    lines.iter().flat_map(|line| [line, "\n"]).collect()
}

/// Where the section is, with its header; it may be there more than once.
fn sections(lines: &[&str], section: &str) -> Vec<Range<usize>> {
    let headers: Vec<(usize, &str)> = lines
        .iter()
        .enumerate()
        .filter_map(|(at, line)| Some((at, header(line)?)))
        .collect();
    let ends = headers.iter().skip(1).map(|(at, _)| *at);
    let ends = ends.chain(std::iter::once(lines.len()));
    headers
        .iter()
        .zip(ends)
        .filter(|((_, name), _)| *name == section)
        .map(|((start, _), end)| *start..end)
        .collect()
}

fn header(line: &str) -> Option<&str> {
    let (name, _) = line.strip_prefix('[')?.split_once(']')?;
    Some(name)
}

/// Behind the last line of the section that is not empty.
fn end_of(lines: &[&str], section: &str) -> Option<usize> {
    let whole = sections(lines, section).pop()?;
    let last = whole
        .rev()
        .find(|at| !lines[*at].trim().is_empty())
        .unwrap_or_default();
    Some(last + 1)
}

/// Where the key is, with the lines that continue its value.
fn places(lines: &[&str], section: &str, key: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    for whole in sections(lines, section) {
        let mut at = whole.start + 1;
        while at < whole.end {
            let next = (at + 1..whole.end)
                .take_while(|next| lines[*next].starts_with([' ', '\t']))
                .last()
                .map_or(at + 1, |last| last + 1);
            if key_of(lines[at]).is_some_and(|here| here == key) {
                found.push(at..next);
            }
            at = next;
        }
    }
    found
}

/// The key that a line gives a value to, as pip spells it.
fn key_of(line: &str) -> Option<String> {
    if line.starts_with([' ', '\t', '#', ';', '[']) {
        return None;
    }
    let (key, _) = line.split_once(['=', ':'])?;
    Some(key.trim().to_lowercase().replace('_', "-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# mine\n[global]\ntimeout = 10\n; why\nfind_links: /a\n    /b\n\n\
                        [install]\nno-deps = true\n";

    #[test]
    fn a_value_changes_where_it_stands() {
        assert_eq!(
            set(TEXT, "global", "find-links", "/c\n/d"),
            TEXT.replace("find_links: /a\n    /b", "find-links = /c\n\t/d")
        );
        let twice = "[global]\na = 1\nb = 2\n[global]\na = 3\n";
        assert_eq!(
            set(twice, "global", "a", "4"),
            "[global]\na = 4\nb = 2\n[global]\n"
        );
    }

    #[test]
    fn a_new_value_goes_to_the_end_of_its_section() {
        assert_eq!(
            set(TEXT, "global", "pre", "true"),
            TEXT.replace("    /b\n", "    /b\npre = true\n")
        );
        assert_eq!(
            set(TEXT, "list", "format", "json"),
            format!("{TEXT}\n[list]\nformat = json\n")
        );
        assert_eq!(set("", "global", "a", "1"), "[global]\na = 1\n");
    }

    #[test]
    fn what_is_unset_goes_and_nothing_else() {
        assert_eq!(
            unset(TEXT, "global", "find-links").as_deref(),
            Some(TEXT.replace("find_links: /a\n    /b\n", "").as_str())
        );
        let without_install = TEXT.replace("[install]\nno-deps = true\n", "");
        assert_eq!(
            unset(TEXT, "install", "no-deps").as_deref(),
            Some(without_install.as_str())
        );
        assert_eq!(unset(TEXT, "install", "timeout"), None);
        let commented = "[global]\n# kept\na = 1\n";
        assert_eq!(
            unset(commented, "global", "a").as_deref(),
            Some("[global]\n# kept\n")
        );
    }
}
