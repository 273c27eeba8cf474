//! The HTML form (PEP 503 and its followers), also of link pages that people write by hand.
//!
//! Only start tags and their attributes matter, so this is a scanner for those, in one pass and
//! without a tree: names in any case, values in double, single or no quotes, attributes without a
//! value (`data-yanked`), comments and scripts skipped. The small HTML crate that was tried loses
//! attributes behind one without a value, and the large one builds a document for each page.

use std::borrow::Cow;

use blast_types::Yanked;

use super::{Link, Listing, PageError, check_version, metadata_attribute};

pub(super) fn links(text: &str) -> Result<Listing<'_>, PageError> {
    let mut page = Listing::default();
    let tags = Tags { rest: text };
    for tag in tags {
        if tag.is("a") {
            page.links.extend(anchor(&tag));
        } else if tag.is("base") {
            // The first one counts, as in browsers.
            page.base = page.base.or_else(|| tag.value("href"));
        } else if tag.is("meta") {
            meta(&tag, &mut page)?;
        }
    }
    Ok(page)
}

fn meta(tag: &Tag<'_>, page: &mut Listing<'_>) -> Result<(), PageError> {
    match (tag.value("name").as_deref(), tag.value("content")) {
        (Some("pypi:repository-version"), Some(version)) => check_version(&version),
        (Some("pypi:project-status"), Some(status)) => {
            page.status = Some(status.trim().to_owned());
            Ok(())
        }
        (Some("pypi:tracks"), Some(url)) => {
            page.elsewhere.tracks.push(url.trim().into());
            Ok(())
        }
        (Some("pypi:alternate-locations"), Some(url)) => {
            page.elsewhere.alternates.push(url.trim().into());
            Ok(())
        }
        _ => Ok(()),
    }
}

fn anchor<'a>(tag: &Tag<'a>) -> Option<Link<'a>> {
    let url = match tag.value("href")? {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
        Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
    };
    let yanked = tag
        .attribute("data-yanked")
        .map_or(Yanked::No, |(_, reason)| {
            let reason = reason.filter(|text| !text.is_empty());
            Yanked::Yes(reason.map(|text| decode(text).into()))
        });
    let metadata = tag
        .value("data-core-metadata")
        .or_else(|| tag.value("data-dist-info-metadata"))
        .map(|value| metadata_attribute(&value))
        .unwrap_or_default();
    Some(Link {
        url,
        requires_python: tag.value("data-requires-python"),
        upload_time: tag.value("data-upload-time"),
        yanked,
        metadata,
        ..Link::default()
    })
}

/// A start tag.
struct Tag<'a> {
    name: &'a str,
    /// Names as written; values without quotes, entities not decoded.
    attributes: Vec<(&'a str, Option<&'a str>)>,
}

impl<'a> Tag<'a> {
    fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// The attribute with its value, if it has one. The first of two counts.
    fn attribute(&self, name: &str) -> Option<&(&'a str, Option<&'a str>)> {
        self.attributes
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
    }

    fn value(&self, name: &str) -> Option<Cow<'a, str>> {
        self.attribute(name)?.1.map(decode)
    }
}

/// Finds start tags. A tag, comment or script that does not end ends the page.
struct Tags<'a> {
    rest: &'a str,
}

impl<'a> Iterator for Tags<'a> {
    type Item = Tag<'a>;

    fn next(&mut self) -> Option<Tag<'a>> {
        loop {
            self.rest = after(self.rest, "<")?;
            if let Some(comment) = self.rest.strip_prefix("!--") {
                self.rest = after(comment, "-->")?;
            } else if self.rest.starts_with(['/', '!', '?']) {
                self.rest = after(self.rest, ">")?;
            } else if self.rest.starts_with(|c: char| c.is_ascii_alphabetic()) {
                let (tag, rest) = tag(self.rest)?;
                self.rest = rest;
                for raw in ["script", "style", "title", "textarea"] {
                    if tag.is(raw) {
                        self.rest = behind_raw(rest, raw)?;
                    }
                }
                return Some(tag);
            }
        }
    }
}

fn after<'a>(text: &'a str, mark: &str) -> Option<&'a str> {
    text.find(mark).map(|at| &text[at + mark.len()..])
}

/// What follows the end tag of an element whose content is no markup.
fn behind_raw<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut rest = text;
    loop {
        rest = after(rest, "</")?;
        if rest
            .get(..name.len())
            .is_some_and(|end| end.eq_ignore_ascii_case(name))
        {
            return after(rest, ">");
        }
    }
}

/// Reads a start tag from its name on.
fn tag(text: &str) -> Option<(Tag<'_>, &str)> {
    let ends = |c: char| c.is_ascii_whitespace() || matches!(c, '/' | '>');
    let (name, mut rest) = text.split_at(text.find(ends)?);
    let mut attributes = Vec::new();
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '/');
        if let Some(rest) = rest.strip_prefix('>') {
            return Some((Tag { name, attributes }, rest));
        }
        // A name may begin with `=`, odd as it is; so each round takes something.
        let first = rest.chars().next()?.len_utf8();
        let end = rest[first..].find(|c| ends(c) || c == '=')? + first;
        let key = &rest[..end];
        rest = rest[end..].trim_ascii_start();
        let value = match rest.strip_prefix('=') {
            Some(assigned) => {
                let (value, after) = value(assigned.trim_ascii_start())?;
                rest = after;
                Some(value)
            }
            None => None,
        };
        attributes.push((key, value));
    }
}

/// Reads an attribute's value.
fn value(text: &str) -> Option<(&str, &str)> {
    for quote in ['"', '\''] {
        if let Some(quoted) = text.strip_prefix(quote) {
            return quoted.split_once(quote);
        }
    }
    Some(text.split_at(text.find(|c: char| c.is_ascii_whitespace() || c == '>')?))
}

/// Decodes the entities that index pages use: the five of XML, the hard space, and numbers.
fn decode(text: &str) -> Cow<'_, str> {
    if !text.contains('&') {
        return Cow::Borrowed(text);
    }
    let mut decoded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        decoded.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some((character, length)) = entity(rest) {
            decoded.push(character);
            rest = &rest[length..];
        } else {
            decoded.push('&');
            rest = &rest[1..];
        }
    }
    decoded.push_str(rest);
    Cow::Owned(decoded)
}

/// The entity that `text` begins with, and its length in bytes.
fn entity(text: &str) -> Option<(char, usize)> {
    let end = text.bytes().take(12).position(|byte| byte == b';')?;
    let character = match &text[1..end] {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        "nbsp" => ' ',
        other => {
            let number = other.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(code)?
        }
    };
    Some((character, end + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Vec<String> {
        Tags { rest: text }
            .map(|tag| {
                let attribute = |(key, value): &(&str, Option<&str>)| match value {
                    Some(value) => format!(" {key}={value}"),
                    None => format!(" {key}"),
                };
                tag.name.to_owned() + &tag.attributes.iter().map(attribute).collect::<String>()
            })
            .collect()
    }

    #[test]
    fn tags_in_all_their_spellings() {
        assert_eq!(
            shown("<!doctype html><A HREF=\"x>y\" data-yanked b = 'c d' e=f/g>t</A><br/><p/x=1>"),
            ["A HREF=x>y data-yanked b=c d e=f/g", "br", "p x=1"]
        );
        assert_eq!(shown("<a =x==y z>"), ["a =x==y z"]);
        assert_eq!(shown("a < b <1 <> <a>"), ["a"]);
    }

    #[test]
    fn what_is_no_markup_is_skipped() {
        assert_eq!(
            shown("<!-- <a> --><script>'<a>'</s></SCRIPT ><b>"),
            ["script", "b"]
        );
        assert_eq!(shown("<title><a></title><i>"), ["title", "i"]);
        for open in [
            "<a",
            "<a href",
            "<a href='x",
            "<a b=",
            "<!-- <a>",
            "<style><a>",
            "<",
        ] {
            let found = shown(open);
            assert!(found.is_empty() || found == ["style"], "{open}: {found:?}");
        }
    }

    #[test]
    fn entities_are_decoded_and_foreign_ones_kept() {
        assert_eq!(
            decode("&gt;=3.6,&#60;4 &#x22;x&quot; &amp;amp;"),
            ">=3.6,<4 \"x\" &amp;"
        );
        assert_eq!(
            decode("a&b &unknown; &#xFFFFFFFF; &"),
            "a&b &unknown; &#xFFFFFFFF; &"
        );
        assert_eq!(decode("&äöüäöüäöü;"), "&äöüäöüäöü;");
    }
}
