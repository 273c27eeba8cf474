//! The operations of `blast debug vectors`. Each is the call that resolver, index client or
//! installer make, and its result as JSON.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::str::FromStr;

use blast_index::wheel::{entry_points, record};
use blast_index::{metadata, simple};
use blast_resolver::lock::{Artifact, Lock};
use blast_resolver::versions as admission;
use blast_types::{
    DistKind, ExtraName, GroupName, MarkerVariables, PackageName, Requirement, VersionOrUrl,
    WheelFilename, filename, pep508, versions,
};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use uv_pep440::Operator;

type Answer = Result<Map<String, Value>, String>;

/// Answers a question; `None` where the operation is not known.
///
/// # Errors
/// Why the question's text is refused.
pub(super) fn answer(question: &Value) -> Result<Option<Map<String, Value>>, String> {
    let question = &Question(question);
    let answer = match question.text("op")? {
        "version" => version(question),
        "version_cmp" => version_cmp(question),
        "specifier" => specifier(question),
        "contains" => contains(question),
        "filter" => filter(question),
        "requirement" => requirement(question),
        "marker_parse" => marker_parse(question),
        "marker" => marker(question),
        "name" => name(question),
        "wheel_filename" => wheel_filename(question),
        "sdist_filename" => sdist_filename(question),
        "metadata" => core_metadata(question),
        "pylock" => pylock(question),
        "pylock_select" => pylock_select(question),
        "entry_points" => scripts(question),
        "record" => rows(question),
        _ => return Ok(None),
    };
    answer.map(Some)
}

struct Question<'a>(&'a Value);

impl<'a> Question<'a> {
    fn text(&self, key: &str) -> Result<&'a str, String> {
        let value = self.0.get(key).and_then(Value::as_str);
        value.ok_or_else(|| format!("`{key}` must be a string"))
    }

    fn flag(&self, key: &str) -> Option<bool> {
        self.0.get(key).and_then(Value::as_bool)
    }

    /// A member of any shape; one that is missing counts as null.
    fn member<T: DeserializeOwned>(&self, key: &str) -> Result<T, String> {
        let value = self.0.get(key).cloned().unwrap_or_default();
        serde_json::from_value(value).map_err(|error| format!("`{key}`: {error}"))
    }
}

fn fields<const N: usize>(fields: [(&str, Value); N]) -> Map<String, Value> {
    fields
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
}

#[expect(clippy::unnecessary_wraps, reason = "the last word of an operation")]
fn fine<const N: usize>(more: [(&str, Value); N]) -> Answer {
    let mut answer = fields(more);
    answer.insert("ok".to_owned(), json!(true));
    Ok(answer)
}

#[expect(clippy::unnecessary_wraps, reason = "the last word of an operation")]
fn result(value: impl Into<Value>) -> Answer {
    Ok(fields([("r", value.into())]))
}

fn why(error: impl Display) -> String {
    error.to_string()
}

fn version(question: &Question<'_>) -> Answer {
    let version = versions::version(question.text("v")?).map_err(why)?;
    fine([("norm", json!(version.to_string()))])
}

fn version_cmp(question: &Question<'_>) -> Answer {
    let a = versions::version(question.text("a")?).map_err(why)?;
    let b = versions::version(question.text("b")?).map_err(why)?;
    result(a.cmp(&b) as i8)
}

fn specifier(question: &Question<'_>) -> Answer {
    versions::specifiers(question.text("s")?).map_err(why)?;
    fine([])
}

fn contains(question: &Question<'_>) -> Answer {
    let specifiers = versions::specifiers(question.text("s")?).map_err(why)?;
    let Ok(version) = versions::version(question.text("v")?) else {
        // No release can have it.
        return result(false);
    };
    let early = question.flag("pre") == Some(false) && version.any_prerelease();
    result(!early && admission::admits(&specifiers, &version))
}

fn filter(question: &Question<'_>) -> Answer {
    let specifiers = versions::specifiers(question.text("s")?).map_err(why)?;
    let texts: Vec<String> = question.member("versions")?;
    let known = texts
        .into_iter()
        .filter_map(|text| Some((versions::version(&text).ok()?, text)));
    let mut fitting: Vec<_> = known
        .filter(|(version, _)| admission::admits(&specifiers, version))
        .collect();
    let finals = fitting.iter().any(|(version, _)| !version.any_prerelease());
    let asked = || {
        let mut signs = specifiers.iter();
        signs.any(|sign| sign.any_prerelease() && *sign.operator() != Operator::NotEqual)
    };
    let with_early = question.flag("pre").unwrap_or_else(|| !finals || asked());
    fitting.retain(|(version, _)| with_early || !version.any_prerelease());
    let texts: Vec<_> = fitting.into_iter().map(|(_, text)| text).collect();
    result(texts)
}

/// The parts of a requirement that only versions or only URLs have.
fn source(requirement: &Requirement) -> (String, Option<String>) {
    match &requirement.version_or_url {
        None => (String::new(), None),
        Some(VersionOrUrl::VersionSpecifier(specifiers)) => {
            (versions::specifiers_text(specifiers), None)
        }
        Some(VersionOrUrl::Url(url)) => {
            let url = url.given().map_or_else(|| url.to_string(), str::to_owned);
            (String::new(), Some(url))
        }
    }
}

fn requirement(question: &Question<'_>) -> Answer {
    let requirement = pep508::requirement(question.text("s")?).map_err(why)?;
    let (specifier, url) = source(&requirement);
    let extras: BTreeSet<_> = requirement.extras.iter().map(ExtraName::as_str).collect();
    fine([
        ("name", json!(requirement.name.as_str())),
        ("extras", json!(extras)),
        ("specifier", json!(specifier)),
        ("url", json!(url)),
        ("marker", json!(requirement.marker.try_to_string())),
    ])
}

fn marker_parse(question: &Question<'_>) -> Answer {
    pep508::marker(question.text("s")?).map_err(why)?;
    fine([])
}

/// The names among the texts; others name nothing.
fn names<T: FromStr>(texts: &[String]) -> Vec<T> {
    texts.iter().filter_map(|text| text.parse().ok()).collect()
}

fn marker(question: &Question<'_>) -> Answer {
    let marker = pep508::marker(question.text("s")?).map_err(why)?;
    let variables: MarkerVariables = question.member("env")?;
    let environment = variables.environment().map_err(why)?;
    if question.flag("lock") == Some(true) {
        let extras: Option<Vec<String>> = question.member("extras")?;
        let groups: Option<Vec<String>> = question.member("dependency_groups")?;
        let extras: Vec<ExtraName> = names(&extras.unwrap_or_default());
        let groups: Vec<GroupName> = names(&groups.unwrap_or_default());
        return result(marker.evaluate_pep751(&environment, &extras, &groups));
    }
    let extra: Option<String> = question.member("extra")?;
    let extras: Vec<ExtraName> = names(extra.as_slice());
    result(marker.evaluate(&environment, &extras))
}

fn name(question: &Question<'_>) -> Answer {
    let name = PackageName::from_str(question.text("s")?).map_err(why)?;
    result(name.as_str())
}

fn wheel_filename(question: &Question<'_>) -> Answer {
    let Some((name, DistKind::Wheel(wheel))) = simple::classify(question.text("s")?, None) else {
        return Err("no wheel is called so".to_owned());
    };
    let build = wheel.build_tag().map(ToString::to_string);
    fine([
        ("name", json!(name.as_str())),
        ("version", json!(wheel.version.to_string())),
        ("build", json!(build.unwrap_or_default())),
        ("tags", json!(filename::tags(&wheel))),
    ])
}

fn sdist_filename(question: &Question<'_>) -> Answer {
    let Some((name, DistKind::Sdist(sdist))) = simple::classify(question.text("s")?, None) else {
        return Err("no source distribution is called so".to_owned());
    };
    fine([
        ("name", json!(name.as_str())),
        ("version", json!(sdist.version.to_string())),
    ])
}

fn core_metadata(question: &Question<'_>) -> Answer {
    let metadata = metadata::parse(question.text("text")?.as_bytes()).map_err(why)?;
    let requires_python = metadata.requires_python.as_ref();
    let requires_dist = metadata.requires_dist.iter().map(ToString::to_string);
    let extras: BTreeSet<_> = metadata
        .provides_extra
        .iter()
        .map(ExtraName::as_str)
        .collect();
    fine([
        ("name", json!(metadata.name.as_str())),
        ("version", json!(metadata.version.to_string())),
        (
            "requires_python",
            json!(requires_python.map(versions::specifiers_text)),
        ),
        ("requires_dist", json!(requires_dist.collect::<Vec<_>>())),
        ("provides_extra", json!(extras)),
    ])
}

fn pylock(question: &Question<'_>) -> Answer {
    Lock::parse(question.text("toml")?).map_err(why)?;
    fine([])
}

fn pylock_select(question: &Question<'_>) -> Answer {
    let lock = Lock::parse(question.text("toml")?).map_err(why)?;
    let variables: MarkerVariables = question.member("env")?;
    let environment = variables.environment().map_err(why)?;
    let tags: Vec<String> = question.member("tags")?;
    let extras: Option<Vec<String>> = question.member("extras")?;
    let extras: Vec<ExtraName> = names(&extras.unwrap_or_default());
    let groups: Option<Vec<String>> = question.member("groups")?;
    let groups: Option<Vec<GroupName>> = groups.map(|groups| names(&groups));
    let rank = |wheel: &WheelFilename| {
        let own = filename::tags(wheel);
        let best = tags.iter().position(|tag| own.contains(tag))?;
        Some(std::cmp::Reverse(best))
    };
    let selected = lock
        .select_ranked(&environment, rank, &extras, groups.as_deref())
        .map_err(why)?;
    let mut packages: Vec<_> = selected
        .iter()
        .map(|selected| {
            let (kind, file) = match &selected.artifact {
                Artifact::Wheel(file) => ("wheel", Some(&file.name)),
                Artifact::Sdist(file) => ("sdist", Some(&file.name)),
                Artifact::Archive(_) => ("archive", None),
                Artifact::Directory => ("directory", None),
                Artifact::Vcs => ("vcs", None),
            };
            let version = selected.package.version.as_ref().map(ToString::to_string);
            (selected.package.name.as_str(), version, kind, file)
        })
        .collect();
    packages.sort();
    fine([("packages", json!(packages))])
}

fn scripts(question: &Question<'_>) -> Answer {
    let scripts = entry_points::parse(question.text("text")?).map_err(why)?;
    let mut rows: Vec<_> = scripts
        .iter()
        .map(|script| {
            let kind = if script.gui { "gui" } else { "console" };
            [&script.name, &script.module, &script.attribute, kind]
        })
        .collect();
    rows.sort_unstable();
    fine([("scripts", json!(rows))])
}

fn rows(question: &Question<'_>) -> Answer {
    let rows = record::rows(question.text("text")?.as_bytes()).map_err(why)?;
    let rows: Vec<_> = rows
        .iter()
        .map(|row| [&*row.path, &row.hash, &row.size])
        .collect();
    fine([("rows", json!(rows))])
}
