//! Adding requirements to a `pyproject.toml` that people wrote, and taking them out again: all else
//! stays as it is, comments and order too.

use std::str::FromStr as _;

use blast_types::{ExtraName, GroupName, PackageName, Requirement, pep508};
use toml_edit::{Array, DocumentMut, InlineTable, Item, Table, TableLike, Value};

/// A list of requirements in a `pyproject.toml`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// `[project] dependencies`.
    Dependencies,
    /// An extra.
    Extra(ExtraName),
    /// A dependency group (PEP 735).
    Group(GroupName),
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Dependencies => f.write_str("its dependencies"),
            Self::Extra(name) => write!(f, "its extra {name}"),
            Self::Group(name) => write!(f, "its group {name}"),
        }
    }
}

/// Why the file is left as it is.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EditError {
    /// It is not TOML.
    #[error("it is not TOML: {0}")]
    Toml(String),
    /// There is nothing to add to.
    #[error("it has no [project] table")]
    NoProject,
    /// Its build backend says what it needs.
    #[error("it leaves its {0} to its build backend (`dynamic`)")]
    Dynamic(&'static str),
    /// A list is something else.
    #[error("`{0}` is not what it should be")]
    Shape(String),
}

/// A `pyproject.toml` that is being changed.
#[derive(Debug, Clone)]
pub(crate) struct Edit {
    document: DocumentMut,
}

impl Edit {
    /// Reads the text.
    pub(crate) fn new(text: &str) -> Result<Self, EditError> {
        let document = text.parse::<DocumentMut>();
        Ok(Self {
            document: document.map_err(|error| EditError::Toml(error.to_string()))?,
        })
    }

    /// Puts a requirement into a list, in the place of one on the same package under the same
    /// marker, else into the order of the list, else at its end.
    pub(crate) fn add(
        &mut self,
        place: &Place,
        requirement: &Requirement,
    ) -> Result<(), EditError> {
        let list = self.list(place)?;
        let text = requirement.to_string();
        let same = |value: &Value| {
            of(value).is_some_and(|other| {
                other.name == requirement.name && other.marker == requirement.marker
            })
        };
        let present = position(list, same);
        if let Some(at) = present {
            if let Some(value) = list.get_mut(at) {
                let decor = value.decor().clone();
                *value = Value::from(text);
                *value.decor_mut() = decor;
            }
            return Ok(());
        }
        let names: Option<Vec<PackageName>> = list.iter().map(|v| of(v).map(|r| r.name)).collect();
        let at = match names {
            Some(names) if names.len() > 1 && names.is_sorted() => {
                names.partition_point(|name| *name <= requirement.name)
            }
            _ => list.len(),
        };
        insert(list, at, &text);
        Ok(())
    }

    /// Says that a package comes from a place on this machine.
    pub(crate) fn take_from(
        &mut self,
        name: &PackageName,
        path: &str,
        editable: bool,
    ) -> Result<(), EditError> {
        let mut source = InlineTable::new();
        source.insert("path", path.into());
        if editable {
            source.insert("editable", true.into());
        }
        let mut within: &mut dyn TableLike = self.document.as_table_mut();
        for key in ["tool", "blast"] {
            // Written only if something else than tables is in it.
            let mut unwritten = Table::new();
            unwritten.set_implicit(true);
            let table = within.entry(key).or_insert(Item::Table(unwritten));
            let shape = || EditError::Shape(key.to_owned());
            within = table.as_table_like_mut().ok_or_else(shape)?;
        }
        let sources = table(within, "sources")?.0;
        let key = found(sources, |key| is_of(key, name), name.as_ref());
        sources.insert(&key, toml_edit::value(source));
        Ok(())
    }

    /// Takes a package out of all lists that name it, and tells which.
    pub(crate) fn remove(&mut self, name: &PackageName) -> Result<Vec<Place>, EditError> {
        let places = self.holding(name);
        for place in &places {
            take(self.list(place)?, name);
        }
        if !places.is_empty() {
            self.forget_place(name);
        }
        Ok(places)
    }

    /// Says no more from which place on this machine a package comes.
    fn forget_place(&mut self, name: &PackageName) {
        let blast = self
            .document
            .get_mut("tool")
            .and_then(|tool| tool.get_mut("blast"));
        let Some(blast) = blast.and_then(Item::as_table_like_mut) else {
            return;
        };
        let Some(sources) = blast.get_mut("sources").and_then(Item::as_table_like_mut) else {
            return;
        };
        let key = found(sources, |key| is_of(key, name), name.as_ref());
        if sources
            .get(&key)
            .is_some_and(|source| source.get("path").is_some())
        {
            sources.remove(&key);
        }
        if sources.is_empty() {
            blast.remove("sources");
        }
    }

    /// The lists that name a package.
    fn holding(&self, name: &PackageName) -> Vec<Place> {
        let names = |item: Option<&Item>| {
            item.and_then(Item::as_array)
                .is_some_and(|list| list.iter().any(|v| of(v).is_some_and(|r| r.name == *name)))
        };
        let keys = |item: Option<&Item>| -> Vec<String> {
            let table = item.and_then(Item::as_table_like);
            let entries = table.into_iter().flat_map(TableLike::iter);
            let holding = entries.filter(|(_, list)| names(Some(list)));
            holding.map(|(key, _)| key.to_owned()).collect()
        };
        let project = |key| self.document.get("project").and_then(|item| item.get(key));
        let extras = keys(project("optional-dependencies")).into_iter();
        let groups = keys(self.document.get("dependency-groups")).into_iter();
        let extras = extras.filter_map(|key| ExtraName::from_str(&key).ok().map(Place::Extra));
        let groups = groups.filter_map(|key| GroupName::from_str(&key).ok().map(Place::Group));
        names(project("dependencies"))
            .then_some(Place::Dependencies)
            .into_iter()
            .chain(extras)
            .chain(groups)
            .collect()
    }

    fn list(&mut self, place: &Place) -> Result<&mut Array, EditError> {
        let (table, key, path) = match place {
            Place::Group(name) => {
                let is_it = |key: &str| GroupName::from_str(key).is_ok_and(|key| key == *name);
                let groups = table(self.document.as_table_mut(), "dependency-groups")?;
                let key = found(groups.0, is_it, name.as_ref());
                (groups.0, key, groups.1)
            }
            Place::Dependencies | Place::Extra(_) => {
                let project = self
                    .document
                    .get_mut("project")
                    .and_then(Item::as_table_like_mut);
                let project = project.ok_or(EditError::NoProject)?;
                let field = match place {
                    Place::Extra(_) => "optional-dependencies",
                    _ => "dependencies",
                };
                let dynamic = project.get("dynamic").and_then(Item::as_array);
                if dynamic.is_some_and(|all| all.iter().any(|v| v.as_str() == Some(field))) {
                    return Err(EditError::Dynamic(field));
                }
                match place {
                    Place::Extra(name) => {
                        let is_it = |key: &str| ExtraName::from_str(key).is_ok_and(|k| k == *name);
                        let extras = table(project, field)?;
                        let key = found(extras.0, is_it, name.as_ref());
                        (extras.0, key, extras.1)
                    }
                    _ => (project, field.to_owned(), "project"),
                }
            }
        };
        table
            .entry(&key)
            .or_insert_with(|| toml_edit::value(Array::new()))
            .as_array_mut()
            .ok_or_else(|| EditError::Shape(format!("{path}.{key}")))
    }
}

impl std::fmt::Display for Edit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.document.fmt(f)
    }
}

/// Takes a package out of a list.
fn take(list: &mut Array, name: &PackageName) {
    let is_it = |value: &Value| of(value).is_some_and(|other| other.name == *name);
    let mut next = position(list, is_it);
    while let Some(at) = next {
        let gone = list.remove(at);
        // In the line before, what stands behind the one before stays; what stands behind or
        // above the one that goes, goes with it.
        let kept = head(&prefix(&gone).unwrap_or_default()).to_owned();
        if let Some(following) = list.get_mut(at) {
            let own = prefix(following).unwrap_or_default();
            following.decor_mut().set_prefix(kept + tail(&own));
        } else {
            let suffix = gone.decor().suffix().and_then(|suffix| suffix.as_str());
            let behind = suffix.unwrap_or_default().to_owned()
                + list.trailing().as_str().unwrap_or_default();
            let end = tail(&behind);
            list.set_trailing(if end.is_empty() {
                String::new()
            } else {
                kept + end
            });
        }
        next = position(list, is_it);
    }
}

/// A table within another, made if it is missing, with its key.
fn table<'a>(
    within: &'a mut dyn TableLike,
    key: &'static str,
) -> Result<(&'a mut dyn TableLike, &'static str), EditError> {
    let table = within
        .entry(key)
        .or_insert_with(|| Item::Table(Table::new()))
        .as_table_like_mut();
    Ok((table.ok_or_else(|| EditError::Shape(key.to_owned()))?, key))
}

/// Whether a key is a package's name, in any spelling.
fn is_of(key: &str, name: &PackageName) -> bool {
    PackageName::from_str(key).is_ok_and(|key| key == *name)
}

/// The key that means a name, as the table spells it.
fn found(table: &dyn TableLike, is_it: impl Fn(&str) -> bool, name: &str) -> String {
    let mut keys = table.iter().map(|(key, _)| key);
    keys.find(|key| is_it(key)).unwrap_or(name).to_owned()
}

/// What stands in the line that a text begins in.
fn head(text: &str) -> &str {
    &text[..text.find('\n').unwrap_or(text.len())]
}

/// The lines after that.
fn tail(text: &str) -> &str {
    &text[head(text).len()..]
}

fn position(list: &Array, is_it: impl Fn(&Value) -> bool) -> Option<usize> {
    list.iter().position(is_it)
}

fn of(value: &Value) -> Option<Requirement> {
    pep508::requirement(value.as_str()?).ok()
}

fn prefix(value: &Value) -> Option<String> {
    Some(value.decor().prefix()?.as_str()?.to_owned())
}

/// Inserts a text so that the list keeps its form: one line, or a line for each.
fn insert(list: &mut Array, at: usize, text: &str) {
    let first = list.get(0).and_then(prefix).unwrap_or_default();
    let Some((_, indent)) = first.rsplit_once('\n') else {
        list.insert(at, text);
        return;
    };
    let indent = format!("\n{indent}");
    let mut value = Value::from(text);
    if at < list.len() {
        // What stands before the next one, a comment perhaps, stays with that.
        value.decor_mut().set_prefix(&indent);
        list.insert_formatted(at, value);
        return;
    }
    // What stands behind the last one, a comment perhaps, stays with that.
    let mut behind = String::new();
    if let Some(last) = list.get_mut(at.saturating_sub(1)) {
        let suffix = last.decor().suffix().and_then(|suffix| suffix.as_str());
        behind.push_str(suffix.unwrap_or_default());
        last.decor_mut().set_suffix("");
    }
    behind.push_str(list.trailing().as_str().unwrap_or_default());
    value
        .decor_mut()
        .set_prefix(format!("{}{indent}", behind.trim_end()));
    list.insert_formatted(at, value);
    list.set_trailing_comma(true);
    list.set_trailing("\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn added(text: &str, place: &Place, requirement: &str) -> String {
        let mut edit = Edit::new(text).expect("valid");
        let requirement = pep508::requirement(requirement).expect("valid");
        edit.add(place, &requirement).expect("possible");
        edit.to_string()
    }

    #[test]
    fn a_requirement_is_added_where_it_belongs_and_all_else_stays() {
        let text = "# head\n[project]\nname = 'a' # mine\ndependencies = [\n    \"b>=1\", # why b\n    \
                    # about d\n    \"d\", # why d\n    # the end\n]\n[tool.x]\ny = 1\n";
        let first = added(text, &Place::Dependencies, "c>=2");
        assert_eq!(
            first,
            text.replace("\"b>=1\", # why b", "\"b>=1\",\n    \"c>=2\", # why b"),
        );
        let last = added(text, &Place::Dependencies, "e");
        assert!(
            last.contains("\"d\", # why d\n    # the end\n    \"e\",\n]"),
            "{last}"
        );
        let replaced = added(text, &Place::Dependencies, "B==3");
        assert_eq!(replaced, text.replace("b>=1", "b==3"));
        let other = added(text, &Place::Dependencies, "b==3 ; os_name == 'nt'");
        assert!(other.contains("\"b>=1\""), "{other}");
    }

    #[test]
    fn a_place_comes_and_goes_with_its_package() {
        let text = "[project]\nname = 'a'\ndependencies = [\"lib\"]\n";
        let name: PackageName = "lib".parse().expect("a name");
        let mut edit = Edit::new(text).expect("valid");
        edit.take_from(&name, "../lib", true).expect("possible");
        let with = edit.to_string();
        let written = "\n[tool.blast.sources]\nlib = { path = \"../lib\", editable = true }\n";
        assert_eq!(with, format!("{text}{written}"));
        edit.take_from(&name, "../lib", false).expect("possible");
        assert!(edit.to_string().ends_with("lib = { path = \"../lib\" }\n"));
        edit.remove(&name).expect("possible");
        assert!(!edit.to_string().contains("tool"), "{edit}");
        let pinned = format!("{text}[tool.blast.sources]\nLIB = {{ index = 'own' }}\n");
        let mut edit = Edit::new(&pinned).expect("valid");
        edit.remove(&name).expect("possible");
        assert!(
            edit.to_string().contains("LIB = { index = 'own' }"),
            "{edit}"
        );
    }

    #[test]
    fn lists_and_tables_that_are_missing_are_made() {
        let text = "[project]\nname = 'a'\n";
        let base = added(text, &Place::Dependencies, "b");
        assert_eq!(base, format!("{text}dependencies = [\"b\"]\n"));
        assert!(added(&base, &Place::Dependencies, "c").contains("[\"b\", \"c\"]"));
        let dev = Place::Group("dev".parse().expect("a name"));
        let group = added(text, &dev, "pytest");
        assert!(
            group.ends_with("[dependency-groups]\ndev = [\"pytest\"]\n"),
            "{group}"
        );
        let spelt = added(
            "[dependency-groups]\nDEV = [{include-group = 'x'}]\n",
            &dev,
            "b",
        );
        assert!(
            spelt.contains("DEV = [{include-group = 'x'}, \"b\"]"),
            "{spelt}"
        );
        let extra = added(text, &Place::Extra("web".parse().expect("a name")), "flask");
        assert!(extra.contains("web = [\"flask\"]"), "{extra}");
        let lines = added(
            "[project]\nname='a'\ndependencies = [\n  'b'\n]\n",
            &Place::Dependencies,
            "c",
        );
        assert!(lines.contains("[\n  'b',\n  \"c\",\n]"), "{lines}");
    }

    #[test]
    fn a_package_is_taken_out_with_its_line() {
        let text = "[project]\ndependencies = [\n    \"b>=1\",\n    \"c\",\n]\n";
        for (name, rest) in [("b", "\"c\""), ("C", "\"b>=1\"")] {
            let mut edit = Edit::new(text).expect("valid");
            let mut remove = || edit.remove(&name.parse().expect("a name"));
            assert_eq!(remove().expect("possible"), [Place::Dependencies]);
            assert_eq!(remove().expect("possible"), []);
            let wanted = format!("[project]\ndependencies = [\n    {rest},\n]\n");
            assert_eq!(edit.to_string(), wanted);
        }
    }

    #[test]
    fn a_package_is_taken_out_of_extras_and_groups_too() {
        let text = "[project]\ndependencies = ['b']\n[project.optional-dependencies]\nWeb = ['c', 'b>2']\n\
                    [dependency-groups]\ndev = [{include-group = 'lint'}, 'B']\nlint = ['c']\n";
        let mut edit = Edit::new(text).expect("valid");
        let places = edit.remove(&"b".parse().expect("a name"));
        assert_eq!(
            places.expect("possible"),
            [
                Place::Dependencies,
                Place::Extra("web".parse().expect("a name")),
                Place::Group("dev".parse().expect("a name")),
            ]
        );
        let wanted = "[project]\ndependencies = []\n[project.optional-dependencies]\nWeb = ['c']\n\
                      [dependency-groups]\ndev = [{include-group = 'lint'}]\nlint = ['c']\n";
        assert_eq!(edit.to_string(), wanted);
    }

    #[test]
    fn what_a_backend_says_is_not_said_here() {
        for text in [
            "",
            "[project]\ndynamic = ['dependencies']\n",
            "project = 3\n",
        ] {
            let mut edit = Edit::new(text).expect("valid");
            let requirement = pep508::requirement("b").expect("valid");
            assert!(
                edit.add(&Place::Dependencies, &requirement).is_err(),
                "{text}"
            );
        }
    }
}
