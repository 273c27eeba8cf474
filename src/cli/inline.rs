//! What a script says of itself: a block of comments with TOML in it (PEP 723, now the specification "Inline script
//! metadata").
//!
//! ```text
//! # /// script
//! # requires-python = ">=3.12"
//! # dependencies = ["rich"]
//! # ///
//! ```

use std::fs;
use std::path::Path;

use serde::Deserialize;

use crate::error::Error;

/// The kind of block that says what a script needs.
const SCRIPT: &str = "script";
/// Scripts are read whole; one that is larger is none that somebody wrote.
const MOST_BYTES: u64 = 64 << 20;

/// What a block may hold.
#[derive(Debug, Default, Clone, PartialEq, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub(super) struct Metadata {
    /// Requirements.
    pub(super) dependencies: Vec<String>,
    /// Which versions of Python it runs on.
    pub(super) requires_python: Option<String>,
    /// Settings, by tool.
    pub(super) tool: toml::Table,
}

/// The text of a script's block and what it says; `None` where there is no block.
///
/// # Errors
/// If the file cannot be read, has several such blocks, or one that cannot be understood.
pub(super) fn read(path: &Path) -> Result<Option<(String, Metadata)>, Error> {
    let cannot = |error: &std::io::Error| Error::io("read", path, error);
    let size = fs::metadata(path).map_err(|error| cannot(&error))?.len();
    if size > MOST_BYTES {
        return Ok(None);
    }
    let bytes = fs::read(path).map_err(|error| cannot(&error))?;
    // What is in strings and comments is of no concern here, in whatever encoding it is.
    let text = String::from_utf8_lossy(&bytes);
    let wrong = |why: &str| Error::usage(format!("{}: {why}", path.display()));
    let mut blocks = blocks(&text).filter(|(kind, _)| *kind == SCRIPT);
    let Some((_, block)) = blocks.next() else {
        return Ok(None);
    };
    if blocks.next().is_some() {
        return Err(wrong("there are two blocks `# /// script`")
            .hint("a script has one: put what both say into the first"));
    }
    let metadata = toml::from_str(&block).map_err(|error| {
        wrong("its block `# /// script` cannot be understood").caused_by(&error)
    })?;
    Ok(Some((block, metadata)))
}

/// All blocks: their kind and what is in them. One that does not end is none.
fn blocks(text: &str) -> impl Iterator<Item = (&str, String)> {
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    let mut next = 0;
    std::iter::from_fn(move || {
        while let Some(line) = lines.get(next) {
            next += 1;
            let kind = line.strip_prefix("# /// ").filter(|kind| is_kind(kind));
            let Some(kind) = kind else { continue };
            // It goes as far as there are comments, to the last line that ends one.
            let rest = lines.get(next..).unwrap_or_default();
            let comments = rest.iter().take_while(|line| content(line).is_some());
            let comments: Vec<&str> = comments.copied().collect();
            let Some(end) = comments.iter().rposition(|line| *line == "# ///") else {
                continue;
            };
            next += end + 1;
            let inside = comments.iter().take(end).filter_map(|line| content(line));
            let text: String = inside.flat_map(|line| [line, "\n"]).collect();
            return Some((kind, text));
        }
        None
    })
}

fn is_kind(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-')
}

/// What a line of comment holds.
fn content(line: &str) -> Option<&str> {
    match line.strip_prefix('#')? {
        "" => Some(""),
        more => more.strip_prefix(' '),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Option<Metadata>, Error> {
        let folder = tempfile::tempdir().expect("temporary directory");
        let path = folder.path().join("script.py");
        fs::write(&path, text).expect("written");
        read(&path).map(|found| found.map(|(_, metadata)| metadata))
    }

    #[test]
    fn a_block_says_what_a_script_needs() {
        let text = "#!/usr/bin/env python\n# /// script\n# requires-python = \">=3.11\"\n# dependencies = [\n\
            #   \"requests<3\",\n#\n#   \"rich\",\n# ]\n#\n# [tool.blast]\n# exclude-newer = \"2024-01-01\"\n# ///\n\nimport rich\n";
        let metadata = of(text).expect("understood").expect("there");
        assert_eq!(metadata.dependencies, ["requests<3", "rich"]);
        assert_eq!(metadata.requires_python.as_deref(), Some(">=3.11"));
        assert!(metadata.tool.contains_key("blast"));
        let with_returns = text.replace('\n', "\r\n");
        assert_eq!(of(&with_returns).expect("understood"), Some(metadata));
    }

    #[test]
    fn what_is_no_block_is_passed_over() {
        for text in [
            "",
            "import rich\n",
            "# /// script\n# dependencies = []\n",
            "# /// script\ndependencies = []\n# ///\n",
            "  # /// script\n  # ///\n",
            "# /// other\n# dependencies = 1\n# ///\n",
            "#/// script\n# ///\n",
        ] {
            assert_eq!(of(text).expect("none"), None, "{text}");
        }
    }

    #[test]
    fn a_line_that_ends_blocks_may_be_in_one() {
        // The example of the specification: the last such line of a run of comments counts.
        let text = "# /// script\n# dependencies = [\n# ]\n# embedded = '''\n# /// other\n# ///\n# '''\n# ///\n";
        assert_eq!(of(text).expect("one"), Some(Metadata::default()));
    }

    #[test]
    fn two_blocks_and_nonsense_are_refused() {
        let one = "# /// script\n# dependencies = []\n# ///\n\n";
        let error = of(&one.repeat(2)).expect_err("two");
        assert!(error.message.contains("two blocks"), "{error:?}");
        let error = of("# /// script\n# dependencies = 1\n# ///\n").expect_err("no list");
        assert!(error.message.contains("cannot be understood"), "{error:?}");
    }
}
