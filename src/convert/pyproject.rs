//! A plan as `pyproject.toml`: a new text, or an existing one amended, its comments and order kept.
//!
//! What an existing file says of the project is never changed: only what is missing is added.

use std::path::Path;

use toml_edit::{Array, ArrayOfTables, DocumentMut, InlineTable, Item, Table, Value, value};

use super::{NamedIndex, Plan, Settings};

/// Why an existing file is left as it is.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AmendError {
    /// It is not TOML.
    #[error("it is not TOML: {0}")]
    Toml(String),
    /// It has what would be written.
    #[error("it has {0} already")]
    Has(&'static str),
    /// A table is something else.
    #[error("`{0}` is no table")]
    NoTable(String),
}

/// The text of a plan; `existing` is what is there now.
pub(crate) fn text(plan: &Plan, existing: Option<&str>) -> Result<String, AmendError> {
    let mut document: DocumentMut = existing
        .unwrap_or_default()
        .parse()
        .map_err(|error: toml_edit::TomlError| AmendError::Toml(error.to_string()))?;
    let project = table(document.as_table_mut(), "project")?;
    if says_dependencies(project) {
        if !plan.is_of_lock || plan.blast.constraints.is_empty() {
            return Err(AmendError::Has("[project] dependencies"));
        }
        return constrained(document, plan);
    }
    let single = [
        ("name", plan.name.clone()),
        ("version", plan.version.clone()),
        ("description", plan.description.clone()),
        ("requires-python", plan.requires_python.clone()),
    ];
    for (key, text) in single {
        let Some(text) = text.filter(|_| !is_said(project, key)) else {
            continue;
        };
        project.insert(key, value(text));
    }
    project.insert("dependencies", value(lines(&plan.dependencies)));
    if let Some(dynamic) = project.get_mut("dynamic").and_then(Item::as_array_mut) {
        dynamic.retain(|field| field.as_str() != Some("dependencies"));
    }
    if !plan.extras.is_empty() {
        let extras = table(project, "optional-dependencies")?;
        for (name, texts) in &plan.extras {
            extras.entry(name).or_insert_with(|| value(lines(texts)));
        }
    }
    if !plan.groups.is_empty() {
        if document.contains_key("dependency-groups") {
            return Err(AmendError::Has("[dependency-groups]"));
        }
        let groups = table(document.as_table_mut(), "dependency-groups")?;
        for (name, texts) in &plan.groups {
            groups.insert(name, value(lines(texts)));
        }
    }
    if plan.blast != Settings::default() {
        let had_tool = document.contains_key("tool");
        let tool = table(document.as_table_mut(), "tool")?;
        if !had_tool {
            tool.set_implicit(true);
        }
        if tool.contains_key("blast") {
            return Err(AmendError::Has("[tool.blast]"));
        }
        let blast = table(tool, "blast")?;
        settings(&plan.blast, blast)?;
    }
    Ok(document.to_string())
}

fn says_dependencies(project: &Table) -> bool {
    // Where the build backend has the dependencies, extras alone do not tell what is needed.
    project.contains_key("dependencies")
        || project.contains_key("optional-dependencies") && !is_dynamic(project, "dependencies")
}

/// Whether an existing file says itself what the project needs, so that a plan adds versions only.
pub(crate) fn is_complete(existing: &str) -> bool {
    let document = existing.parse::<DocumentMut>().ok();
    let project = document
        .as_ref()
        .and_then(|document| document.get("project"));
    project
        .and_then(Item::as_table)
        .is_some_and(says_dependencies)
}

/// The project says itself what it needs: only the versions of its lock are added, and groups and
/// settings where it has none at all.
fn constrained(mut document: DocumentMut, plan: &Plan) -> Result<String, AmendError> {
    if !plan.groups.is_empty() && !document.contains_key("dependency-groups") {
        let groups = table(document.as_table_mut(), "dependency-groups")?;
        for (name, texts) in &plan.groups {
            groups.insert(name, value(lines(texts)));
        }
    }
    let had_tool = document.contains_key("tool");
    let tool = table(document.as_table_mut(), "tool")?;
    if !had_tool {
        tool.set_implicit(true);
    }
    if tool.contains_key("blast") {
        let blast = table(tool, "blast")?;
        if blast.contains_key("constraints") {
            return Err(AmendError::Has("constraints in [tool.blast]"));
        }
        blast.insert("constraints", value(lines(&plan.blast.constraints)));
        if !plan.blast.overrides.is_empty() {
            if blast.contains_key("overrides") {
                return Err(AmendError::Has("overrides in [tool.blast]"));
            }
            blast.insert("overrides", value(lines(&plan.blast.overrides)));
        }
    } else {
        settings(&plan.blast, table(tool, "blast")?)?;
    }
    Ok(document.to_string())
}

/// Whether the project says it itself, or leaves it to its build backend.
fn is_said(project: &Table, key: &str) -> bool {
    project.contains_key(key) || is_dynamic(project, key)
}

fn is_dynamic(project: &Table, key: &str) -> bool {
    let dynamic = project.get("dynamic").and_then(Item::as_array);
    dynamic.is_some_and(|fields| fields.iter().any(|f| f.as_str() == Some(key)))
}

fn settings(settings: &Settings, blast: &mut Table) -> Result<(), AmendError> {
    if let Some(groups) = &settings.default_groups {
        blast.insert("default-groups", value(groups.iter().collect::<Array>()));
    }
    if let Some(url) = &settings.index_url {
        blast.insert("index-url", value(url));
    }
    for (key, texts) in [
        ("extra-index-url", &settings.extra_index_url),
        ("find-links", &settings.find_links),
        ("trusted-host", &settings.trusted_host),
        ("no-binary", &settings.no_binary),
        ("only-binary", &settings.only_binary),
        ("constraints", &settings.constraints),
        ("overrides", &settings.overrides),
    ] {
        if !texts.is_empty() {
            blast.insert(key, value(lines(texts)));
        }
    }
    if settings.no_index {
        blast.insert("no-index", value(true));
    }
    if settings.prereleases {
        blast.insert("prerelease", value("allow"));
    }
    if !settings.sources.is_empty() {
        let sources = table(blast, "sources")?;
        for (package, index) in &settings.sources {
            let mut source = InlineTable::new();
            source.insert("index", index.into());
            sources.insert(package, value(source));
        }
    }
    if !settings.indexes.is_empty() {
        let indexes: ArrayOfTables = settings.indexes.iter().map(index).collect();
        blast.insert("index", Item::ArrayOfTables(indexes));
    }
    Ok(())
}

fn index(index: &NamedIndex) -> Table {
    let mut table = Table::new();
    table.insert("name", value(&index.name));
    table.insert("url", value(&index.url));
    if index.explicit {
        table.insert("explicit", value(true));
    }
    table
}

/// A list with a line for each text.
fn lines(texts: &[String]) -> Array {
    let mut array = Array::new();
    for text in texts {
        let mut item = Value::from(text);
        item.decor_mut().set_prefix("\n    ");
        array.push_formatted(item);
    }
    if !texts.is_empty() {
        array.set_trailing("\n");
        array.set_trailing_comma(true);
    }
    array
}

fn table<'a>(parent: &'a mut Table, key: &str) -> Result<&'a mut Table, AmendError> {
    parent
        .entry(key)
        .or_insert_with(toml_edit::table)
        .as_table_mut()
        .ok_or_else(|| AmendError::NoTable(key.to_owned()))
}

/// A name for the project in a folder: letters, digits, and `-` for all else.
pub(crate) fn name_of(folder: &Path) -> String {
    let folder = folder.file_name().unwrap_or_default().to_string_lossy();
    let mut name = String::new();
    for c in folder.chars() {
        if c.is_ascii_alphanumeric() {
            name.push(c.to_ascii_lowercase());
        } else if !name.is_empty() && !name.ends_with('-') {
            name.push('-');
        }
    }
    let name = name.trim_end_matches('-');
    if name.is_empty() {
        "project".to_owned()
    } else {
        name.to_owned()
    }
}
