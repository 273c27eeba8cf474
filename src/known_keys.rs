//! Which keys a table of settings may have. The list is taken from the types that the table is read
//! as, so that it cannot say other than they do. A key that nobody reads is an error: a misspelt limit
//! would otherwise be no limit.

use std::fmt::Display;

use serde::de::value::Error as Never;
use serde::de::{DeserializeOwned, Error as _, Visitor};
use serde::{Deserializer, forward_to_deserialize_any};

use crate::error::Error;

/// Names that are further apart than a third of their letters are no misspellings of each other.
const LETTERS_PER_SLIP: usize = 3;

/// The keys that a type is read from, other spellings included; none for what is no structure.
pub(crate) fn of<T: DeserializeOwned>() -> &'static [&'static str] {
    let mut keys: &'static [&'static str] = &[];
    // It never succeeds: all that is wanted is what the type asks for.
    drop(T::deserialize(Asked(&mut keys)));
    keys
}

/// Takes down which fields are asked for.
struct Asked<'a>(&'a mut &'static [&'static str]);

impl<'de> Deserializer<'de> for Asked<'_> {
    type Error = Never;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Never> {
        Err(Never::custom("there is no value"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Never> {
        *self.0 = fields;
        Err(Never::custom("there is no value"))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

/// Refuses a table that has a key not among those known; `place` says where the table is.
pub(crate) fn check(
    table: &toml::Table,
    known: &[&'static str],
    place: impl Display,
) -> Result<(), Error> {
    let Some(key) = table.keys().find(|key| !known.contains(&key.as_str())) else {
        return Ok(());
    };
    let hint = match nearest(key, known) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("the keys that can be there are {}", listed(known)),
    };
    Err(Error::usage(format!(
        "{place} has the key `{key}`, which is unknown to this version of blast"
    ))
    .hint(hint))
}

/// The known key that was probably meant.
fn nearest(key: &str, known: &[&'static str]) -> Option<&'static str> {
    let key = key.to_lowercase();
    let distances = known
        .iter()
        .map(|known| (strsim::damerau_levenshtein(&key, known), *known));
    let (distance, meant) = distances.min()?;
    (distance * LETTERS_PER_SLIP <= meant.len().max(key.len())).then_some(meant)
}

fn listed(keys: &[&str]) -> String {
    let mut keys: Vec<_> = keys.iter().map(|key| format!("`{key}`")).collect();
    keys.sort();
    keys.join(", ")
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Default, Deserialize)]
    #[serde(default, rename_all = "kebab-case")]
    struct Example {
        exclude_newer: Option<String>,
        #[serde(skip)]
        root: String,
        index: Vec<String>,
    }

    #[test]
    fn keys_are_those_that_the_type_is_read_from() {
        assert_eq!(of::<Example>(), ["exclude-newer", "index"]);
        assert!(of::<String>().is_empty());
        assert!(of::<Vec<Example>>().is_empty());
    }

    #[test]
    fn an_unknown_key_is_refused_with_the_nearest_or_with_all() {
        let refused = |text: &str| {
            let table = toml::from_str(text).expect("TOML");
            check(&table, of::<Example>(), "it").map_err(|error| error.to_string())
        };
        assert_eq!(refused("index = 3"), Ok(()));
        assert_eq!(refused(""), Ok(()));
        for text in [
            "exclude_newer = 1",
            "Exclude-Newr = 1",
            "exclude-newer-than = 1",
        ] {
            let error = refused(text).expect_err(text);
            assert!(
                error.contains(text.split(' ').next().expect("a key")),
                "{error}"
            );
        }
        let known = of::<Example>();
        assert_eq!(nearest("exclude_newer", known), Some("exclude-newer"));
        assert_eq!(nearest("INDEX", known), Some("index"));
        assert_eq!(nearest("sandbox", known), None);
        assert_eq!(nearest("", known), None);
        assert_eq!(listed(known), "`exclude-newer`, `index`");
    }
}
