//! Objects by name, and the numbers and companions that they have.

use std::io;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use blast_types::{GenerationId, LayerId};

use super::{Durability, Inner, Store};
use crate::index::{Key, get_json};
use crate::journal::Event;
use crate::objects::Kind;
use crate::{
    Generation, Layer, LayerFormatError, LayerNumber, StoreError, TreeNumber, TreeRecord, WheelKey,
    WheelRecord,
};

/// Python compares directory times with the resolution of the file system's clock; trees keep at
/// least this distance.
const TREE_DISTANCE_NS: i64 = 1000;
/// Most layers and trees that node numbers have room for.
const MAX_NUMBER: u32 = (1 << 21) - 1;

impl Store {
    /// Opens a layer; open ones are shared.
    pub fn layer(&self, id: LayerId) -> Result<Arc<Layer>, StoreError> {
        self.inner.layer(id)
    }

    /// The persistent number of a layer, given when it is first asked for.
    pub fn layer_number(&self, id: LayerId) -> Result<LayerNumber, StoreError> {
        let inner = &self.inner;
        if let Some(number) = inner.caches.layer_numbers.get(&id) {
            return Ok(number);
        }
        let _gate = inner.gate();
        let mut writer = inner.writer();
        let number = match inner.index.get(&Key::layer(id))? {
            Some(bytes) => LayerNumber(u32_of(&bytes)),
            None if inner.size_anywhere(id).is_none() => {
                return Err(StoreError::MissingLayer { id });
            }
            None => {
                let number = LayerNumber(writer.marks.layer);
                if number.0 > MAX_NUMBER {
                    return Err(StoreError::OutOfNumbers("layer"));
                }
                let event = Event::Layer { layer: id, number };
                inner.commit(&mut writer, &event, Durability::Later)?;
                number
            }
        };
        inner.caches.layer_numbers.insert(id, number);
        inner.caches.layers_by_number.insert(number, id);
        Ok(number)
    }

    /// The layer that has this number.
    pub fn layer_by_number(&self, number: LayerNumber) -> Result<Arc<Layer>, StoreError> {
        let inner = &self.inner;
        if let Some(id) = inner.caches.layers_by_number.get(&number) {
            return inner.layer(id);
        }
        let bytes = inner
            .index
            .get(&Key::layer_number(number))?
            .ok_or(StoreError::NoSuchLayerNumber(number))?;
        let id = LayerId::from_bytes(digest_of(&bytes));
        inner.caches.layers_by_number.insert(number, id);
        inner.layer(id)
    }

    /// Reads a generation.
    pub fn generation(&self, id: GenerationId) -> Result<Arc<Generation>, StoreError> {
        self.inner.generation(id)
    }

    /// The generations whose hexadecimal names begin so, be they of a history or not; none for less
    /// than two digits.
    pub fn generations_named(&self, digits: &str) -> Result<Vec<GenerationId>, StoreError> {
        let found = self.inner.objects.beginning(Kind::Generations, digits)?;
        Ok(found.into_iter().map(GenerationId::from_bytes).collect())
    }

    /// The tree that shows a generation, numbered when it is first asked for.
    pub fn tree_of(&self, id: GenerationId) -> Result<TreeRecord, StoreError> {
        let inner = &self.inner;
        if let Some(tree) = inner.caches.trees.get(&id) {
            return Ok(tree);
        }
        let _gate = inner.gate();
        let mut writer = inner.writer();
        let tree = match get_json(inner.index.as_ref(), &Key::tree(id))? {
            Some(tree) => tree,
            None if !inner.objects.has(id) => return Err(StoreError::MissingGeneration { id }),
            None => {
                let number = TreeNumber(writer.marks.tree);
                if number.0 > MAX_NUMBER {
                    return Err(StoreError::OutOfNumbers("tree"));
                }
                let shown_at_ns = now_ns().max(writer.marks.shown_at_ns + TREE_DISTANCE_NS);
                let tree = TreeRecord {
                    number,
                    generation: id,
                    shown_at_ns,
                };
                inner.commit(&mut writer, &Event::Tree { tree }, Durability::Later)?;
                tree
            }
        };
        inner.caches.trees.insert(id, tree);
        inner.caches.trees_by_number.insert(tree.number, tree);
        Ok(tree)
    }

    /// Every tree that was ever numbered has a number below this.
    pub fn trees_given(&self) -> u32 {
        self.inner.writer().marks.tree
    }

    /// The tree that has this number.
    pub fn tree(&self, number: TreeNumber) -> Result<TreeRecord, StoreError> {
        let inner = &self.inner;
        if let Some(tree) = inner.caches.trees_by_number.get(&number) {
            return Ok(tree);
        }
        let missing = || StoreError::NoSuchTree(number);
        let bytes = inner
            .index
            .get(&Key::tree_number(number))?
            .ok_or_else(missing)?;
        let id = GenerationId::from_bytes(digest_of(&bytes));
        let tree = get_json(inner.index.as_ref(), &Key::tree(id))?.ok_or_else(missing)?;
        Ok(inner.caches.trees_by_number.insert(number, tree))
    }

    /// What a wheel became under a scheme, if it is known. The layer is pinned while the caller
    /// has a staging or a transaction.
    pub fn wheel(&self, key: &WheelKey) -> Result<Option<Arc<WheelRecord>>, StoreError> {
        let inner = &self.inner;
        let _gate = inner.gate();
        let record = match inner.caches.wheels.get(key) {
            Some(record) => record,
            None => match get_json::<WheelRecord>(inner.index.as_ref(), &Key::wheel(key))? {
                // Who keeps the store below may have taken it away.
                Some(record) if inner.size_anywhere(record.layer).is_none() => return Ok(None),
                Some(record) => inner.caches.wheels.insert(key.clone(), Arc::new(record)),
                None => match inner.below.get().and_then(|below| below.wheel(key)) {
                    Some(record) => {
                        let event = Event::Wheel {
                            key: key.clone(),
                            record: Box::new(record.clone()),
                        };
                        inner.commit(&mut inner.writer(), &event, Durability::Later)?;
                        inner.caches.wheels.insert(key.clone(), Arc::new(record))
                    }
                    None => return Ok(None),
                },
            },
        };
        inner.pins.touch(record.layer);
        for script in &record.python_scripts {
            inner.pins.touch(script.body);
        }
        Ok(Some(record))
    }

    /// Remembers what a wheel became. Its layer must be published.
    pub fn put_wheel(&self, key: &WheelKey, record: &WheelRecord) -> Result<(), StoreError> {
        let inner = &self.inner;
        let _gate = inner.gate();
        inner.require_layer(record.layer)?;
        let event = Event::Wheel {
            key: key.clone(),
            record: Box::new(record.clone()),
        };
        inner.commit(&mut inner.writer(), &event, Durability::Later)?;
        inner.share_wheel(key, record);
        inner
            .caches
            .wheels
            .replace(key.clone(), Arc::new(record.clone()));
        Ok(())
    }

    /// The layer that holds the bytecode of `layer` for the interpreters called `tag`
    /// (`<cache_tag>-<magic>`), if it was compiled.
    pub fn bytecode(&self, layer: LayerId, tag: &str) -> Result<Option<LayerId>, StoreError> {
        let inner = &self.inner;
        let _gate = inner.gate();
        let found = inner.index.get(&Key::bytecode(layer, tag))?;
        let id = found.map(|bytes| LayerId::from_bytes(digest_of(&bytes)));
        if let Some(id) = id {
            inner.pins.touch(id);
        }
        Ok(id)
    }

    /// Remembers the bytecode companion of a layer. Both must be published.
    pub fn put_bytecode(
        &self,
        layer: LayerId,
        tag: &str,
        bytecode: LayerId,
    ) -> Result<(), StoreError> {
        let inner = &self.inner;
        let _gate = inner.gate();
        inner.require_layer(layer)?;
        inner.require_layer(bytecode)?;
        let event = Event::Bytecode {
            layer,
            tag: tag.to_owned(),
            bytecode,
        };
        inner.commit(&mut inner.writer(), &event, Durability::Later)
    }
}

impl Inner {
    pub(crate) fn layer(&self, id: LayerId) -> Result<Arc<Layer>, StoreError> {
        if let Some(layer) = self.caches.layers.get(&id) {
            return Ok(layer);
        }
        match self.map_layer(id) {
            Ok(layer) => Ok(self.caches.layers.insert(id, Arc::new(layer))),
            Err(LayerFormatError::Missing) => Err(StoreError::MissingLayer { id }),
            Err(source) => Err(StoreError::DamagedLayer { id, source }),
        }
    }

    pub(crate) fn require_layer(&self, id: LayerId) -> Result<(), StoreError> {
        if self.size_anywhere(id).is_some() {
            Ok(())
        } else {
            Err(StoreError::MissingLayer { id })
        }
    }

    pub(crate) fn generation(&self, id: GenerationId) -> Result<Arc<Generation>, StoreError> {
        if let Some(generation) = self.caches.generations.get(&id) {
            return Ok(generation);
        }
        let generation = Arc::new(self.read_generation(id)?);
        self.caches.keep_generation(id, Arc::clone(&generation));
        Ok(generation)
    }

    pub(crate) fn read_generation(&self, id: GenerationId) -> Result<Generation, StoreError> {
        let path = self.objects.path(id);
        match std::fs::read(&path) {
            Ok(bytes) => Generation::decode(id, &bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(StoreError::MissingGeneration { id })
            }
            Err(source) => Err(StoreError::Io {
                action: "read",
                path,
                source,
            }),
        }
    }
}

fn now_ns() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX / 2)
}

fn u32_of(bytes: &[u8]) -> u32 {
    bytes.try_into().map(u32::from_le_bytes).unwrap_or_default()
}

fn digest_of(bytes: &[u8]) -> [u8; 32] {
    bytes.try_into().unwrap_or_default()
}
