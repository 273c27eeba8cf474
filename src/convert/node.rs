//! Values of TOML, JSON and YAML files, each with the way to it, so that errors can name it.

use std::fmt::Display;
use std::path::Path;

use serde_json::{Map, Value};

use super::ConvertError;

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Node<'a> {
    file: &'a str,
    /// The keys that lead to it, joined by dots; empty at the top.
    key: String,
    pub(super) value: &'a Value,
}

/// A file that was read, to make nodes of.
#[derive(Debug)]
pub(super) struct Document {
    file: String,
    value: Value,
}

impl Document {
    pub(super) fn toml(path: &Path, text: &str) -> Result<Self, ConvertError> {
        Self::new(
            path,
            toml::from_str(text).map_err(|error| error.to_string()),
        )
    }

    pub(super) fn json(path: &Path, text: &str) -> Result<Self, ConvertError> {
        Self::new(
            path,
            serde_json::from_str(text).map_err(|error| error.to_string()),
        )
    }

    pub(super) fn yaml(path: &Path, text: &str) -> Result<Self, ConvertError> {
        Self::new(
            path,
            serde_saphyr::from_str(text).map_err(|error| error.to_string()),
        )
    }

    fn new(path: &Path, read: Result<Value, String>) -> Result<Self, ConvertError> {
        let file = path.display().to_string();
        match read {
            Ok(value) => Ok(Self { file, value }),
            Err(problem) => Err(ConvertError::Syntax {
                file,
                problem: problem.trim_end().to_owned(),
            }),
        }
    }

    pub(super) fn root(&self) -> Node<'_> {
        Node {
            file: &self.file,
            key: String::new(),
            value: &self.value,
        }
    }
}

impl<'a> Node<'a> {
    /// File and key, for people.
    pub(super) fn place(&self) -> String {
        if self.key.is_empty() {
            self.file.to_owned()
        } else {
            format!("{}, {}", self.file, self.key)
        }
    }

    pub(super) fn problem(&self, problem: impl Display) -> ConvertError {
        ConvertError::Value {
            file: self.file.to_owned(),
            key: if self.key.is_empty() {
                "the whole".to_owned()
            } else {
                self.key.clone()
            },
            problem: problem.to_string(),
        }
    }

    fn below(&self, key: &str, value: &'a Value) -> Self {
        let key = if self.key.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.key)
        };
        Node {
            file: self.file,
            key,
            value,
        }
    }

    /// The table that it must be.
    pub(super) fn table(&self) -> Result<&'a Map<String, Value>, ConvertError> {
        self.value
            .as_object()
            .ok_or_else(|| self.problem("must be a table"))
    }

    /// A member; `None` where there is none, or it is null.
    pub(super) fn get(&self, key: &str) -> Result<Option<Self>, ConvertError> {
        let found = self.table()?.get(key).filter(|value| !value.is_null());
        Ok(found.map(|value| self.below(key, value)))
    }

    /// A member far below; `None` where a step of the way is missing.
    pub(super) fn find(&self, keys: &[&str]) -> Result<Option<Self>, ConvertError> {
        let mut at = self.clone();
        for key in keys {
            match at.get(key)? {
                Some(next) => at = next,
                None => return Ok(None),
            }
        }
        Ok(Some(at))
    }

    /// The members of the table that it must be.
    pub(super) fn members(&self) -> Result<Vec<(&'a str, Self)>, ConvertError> {
        let table = self.table()?.iter();
        Ok(table
            .map(|(key, value)| (key.as_str(), self.below(key, value)))
            .collect())
    }

    /// The members of a table that need not be there.
    pub(super) fn members_of(&self, keys: &[&str]) -> Result<Vec<(&'a str, Self)>, ConvertError> {
        self.find(keys)?.map_or(Ok(Vec::new()), |at| at.members())
    }

    /// The items of the list that it must be.
    pub(super) fn items(&self) -> Result<Vec<Self>, ConvertError> {
        let items = self.value.as_array();
        let items = items.ok_or_else(|| self.problem("must be a list"))?;
        let at = |(number, value)| Node {
            file: self.file,
            key: format!("{}[{number}]", self.key),
            value,
        };
        Ok(items.iter().enumerate().map(at).collect())
    }

    /// The items of a list that need not be there.
    pub(super) fn items_of(&self, key: &str) -> Result<Vec<Self>, ConvertError> {
        self.get(key)?.map_or(Ok(Vec::new()), |at| at.items())
    }

    /// The text that it must be.
    pub(super) fn text(&self) -> Result<&'a str, ConvertError> {
        self.value
            .as_str()
            .ok_or_else(|| self.problem("must be a text"))
    }

    /// A text that need not be there.
    pub(super) fn text_of(&self, key: &str) -> Result<Option<&'a str>, ConvertError> {
        self.get(key)?.map(|at| at.text()).transpose()
    }

    /// The texts of a list that need not be there.
    pub(super) fn texts_of(&self, key: &str) -> Result<Vec<&'a str>, ConvertError> {
        self.items_of(key)?.iter().map(Node::text).collect()
    }

    /// A text that must be there.
    pub(super) fn required(&self, key: &str) -> Result<&'a str, ConvertError> {
        self.text_of(key)?
            .ok_or_else(|| self.problem(format!("`{key}` is missing")))
    }

    /// A switch; off where it is not there.
    pub(super) fn flag(&self, key: &str) -> Result<bool, ConvertError> {
        self.get(key)?.map_or(Ok(false), |at| {
            at.value
                .as_bool()
                .ok_or_else(|| at.problem("must be true or false"))
        })
    }
}
