//! The spelling of the index's keys.

use blast_types::{EnvName, GenerationId, LayerId, SnapshotName};

use crate::{LayerNumber, OperationId, TreeNumber, WheelKey};

/// How far the journal is applied.
pub(crate) const JOURNAL: &[u8] = b"m/journal";
/// The next free numbers.
pub(crate) const MARKS: &[u8] = b"m/marks";

/// Makes keys; see the table in the module above.
#[derive(Debug)]
pub(crate) struct Key;

impl Key {
    pub(crate) const ENVS: &[u8] = b"e/";
    pub(crate) const OPERATIONS: &[u8] = b"o/";
    pub(crate) const SNAPSHOTS: &[u8] = b"s/";
    pub(crate) const LAYERS: &[u8] = b"l/";
    pub(crate) const TREES: &[u8] = b"t/";
    pub(crate) const WHEELS: &[u8] = b"w/";
    pub(crate) const BYTECODES: &[u8] = b"b/";

    pub(crate) fn env(name: &EnvName) -> Vec<u8> {
        join(&[Self::ENVS, name.as_str().as_bytes()])
    }

    pub(crate) fn operations(serial: u64) -> Vec<u8> {
        join(&[Self::OPERATIONS, &serial.to_be_bytes()])
    }

    pub(crate) fn operation(serial: u64, id: OperationId) -> Vec<u8> {
        join(&[Self::OPERATIONS, &serial.to_be_bytes(), &id.0.to_be_bytes()])
    }

    pub(crate) fn snapshots(serial: u64) -> Vec<u8> {
        join(&[Self::SNAPSHOTS, &serial.to_be_bytes()])
    }

    pub(crate) fn snapshot(serial: u64, name: &SnapshotName) -> Vec<u8> {
        join(&[
            Self::SNAPSHOTS,
            &serial.to_be_bytes(),
            name.as_str().as_bytes(),
        ])
    }

    pub(crate) fn layer(id: LayerId) -> Vec<u8> {
        join(&[Self::LAYERS, id.as_bytes()])
    }

    pub(crate) fn layer_number(number: LayerNumber) -> Vec<u8> {
        join(&[b"L/", &number.0.to_be_bytes()])
    }

    pub(crate) fn tree(id: GenerationId) -> Vec<u8> {
        join(&[Self::TREES, id.as_bytes()])
    }

    pub(crate) fn tree_number(number: TreeNumber) -> Vec<u8> {
        join(&[b"T/", &number.0.to_be_bytes()])
    }

    pub(crate) fn wheel(key: &WheelKey) -> Vec<u8> {
        join(&[Self::WHEELS, key.sha256.as_bytes(), key.scheme.as_bytes()])
    }

    pub(crate) fn bytecode(layer: LayerId, tag: &str) -> Vec<u8> {
        join(&[Self::BYTECODES, layer.as_bytes(), tag.as_bytes()])
    }

    /// The serial in the key of an operation or a snapshot.
    pub(crate) fn serial_of(key: &[u8]) -> Option<u64> {
        Some(u64::from_be_bytes(key.get(2..10)?.try_into().ok()?))
    }

    /// The operation in the key of an operation.
    pub(crate) fn operation_of(key: &[u8]) -> Option<OperationId> {
        Some(OperationId(u64::from_be_bytes(
            key.get(10..18)?.try_into().ok()?,
        )))
    }

    /// The 32 bytes that follow the prefix of a key.
    pub(crate) fn digest_of(key: &[u8]) -> Option<[u8; 32]> {
        key.get(2..34)?.try_into().ok()
    }

    /// The text that follows prefix and digest.
    pub(crate) fn text_of(key: &[u8]) -> Option<&str> {
        std::str::from_utf8(key.get(34..)?).ok()
    }
}

fn join(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}
