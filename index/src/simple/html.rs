//! The HTML form (PEP 503 and its followers), also of link pages that people write by hand.

use std::borrow::Cow;

use blast_types::Yanked;
use tl::{HTMLTag, ParserOptions};

use super::{Link, Links, PageError, metadata_attribute};

pub(super) fn links(text: &str) -> Result<Links<'_>, PageError> {
    let dom =
        tl::parse(text, ParserOptions::default()).map_err(|e| PageError::Html(e.to_string()))?;
    let mut page = Links::default();
    for tag in dom.nodes().iter().filter_map(tl::Node::as_tag) {
        let name = tag.name().as_utf8_str();
        if name.eq_ignore_ascii_case("a") {
            page.links.extend(anchor(tag));
        } else if name.eq_ignore_ascii_case("base") {
            // The first one counts, as in browsers.
            page.base = page.base.or_else(|| attribute(tag, "href"));
        } else if name.eq_ignore_ascii_case("meta") {
            meta(tag, &mut page)?;
        }
    }
    Ok(page)
}

fn meta(tag: &HTMLTag<'_>, page: &mut Links<'_>) -> Result<(), PageError> {
    let content = attribute(tag, "content");
    match (attribute(tag, "name").as_deref(), content) {
        (Some("pypi:repository-version"), Some(version))
            if version.trim().split('.').next() != Some("1") =>
        {
            Err(PageError::Version(version.into_owned()))
        }
        (Some("pypi:project-status"), Some(status)) => {
            page.status = Some(status.trim().to_owned());
            Ok(())
        }
        _ => Ok(()),
    }
}

fn anchor<'a>(tag: &HTMLTag<'a>) -> Option<Link<'a>> {
    let url = attribute(tag, "href")?;
    let yanked = match tag.attributes().get("data-yanked") {
        Some(None) => Yanked::Yes(None),
        Some(Some(_)) => {
            let reason = attribute(tag, "data-yanked").filter(|reason| !reason.is_empty());
            Yanked::Yes(reason.map(|reason| reason.into_owned().into()))
        }
        None => Yanked::No,
    };
    let metadata = attribute(tag, "data-core-metadata")
        .or_else(|| attribute(tag, "data-dist-info-metadata"))
        .map(|value| metadata_attribute(&value))
        .unwrap_or_default();
    Some(Link {
        url: Cow::Owned(url.trim().to_owned()),
        requires_python: attribute(tag, "data-requires-python"),
        upload_time: attribute(tag, "data-upload-time"),
        yanked,
        metadata,
        ..Link::default()
    })
}

/// An attribute's value with its entities decoded.
fn attribute<'a>(tag: &HTMLTag<'a>, name: &'static str) -> Option<Cow<'a, str>> {
    let raw = tag.attributes().get(name)??;
    // Only values borrowed from the page occur: nothing here changes the tree.
    let text = std::str::from_utf8(raw.as_bytes_borrowed()?).ok()?;
    Some(decode(text))
}

/// Decodes the entities that index pages use: the five of XML, and numbers.
fn decode(text: &str) -> Cow<'_, str> {
    if !text.contains('&') {
        return Cow::Borrowed(text);
    }
    let mut decoded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        decoded.push_str(&rest[..at]);
        rest = &rest[at..];
        match entity(rest) {
            Some((character, length)) => {
                decoded.push(character);
                rest = &rest[length..];
            }
            None => {
                decoded.push('&');
                rest = &rest[1..];
            }
        }
    }
    decoded.push_str(rest);
    Cow::Owned(decoded)
}

/// The entity that `text` begins with, and its length in bytes.
fn entity(text: &str) -> Option<(char, usize)> {
    let end = text.bytes().take(12).position(|byte| byte == b';')?;
    let name = &text[1..end];
    let character = match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        "nbsp" => ' ',
        _ => {
            let number = name.strip_prefix('#')?;
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
