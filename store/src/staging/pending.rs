//! Staged objects that wait for a commit: so few and small that its record can hold them, and no
//! file has to be waited for.

use super::publish::{FEW_FILES, Move};
use super::{Place, Staging};
use crate::StoreError;
use crate::error::At as _;
use crate::objects::ObjectId;
use crate::wal::ObjectBytes;

/// Objects of more bytes in all are made durable in their files.
const SMALL_BYTES: u64 = 512 << 10;

/// What a commit has to make durable with itself; nothing, where it is durable already. Dropped,
/// the objects are discarded.
#[derive(Debug, Default)]
pub(crate) struct Pending(Option<Waiting>);

#[derive(Debug)]
struct Waiting {
    staging: Staging,
    moves: Vec<Move>,
}

impl Pending {
    /// What is staged, published at once unless it is little.
    pub(super) fn new(staging: Staging) -> Result<Self, StoreError> {
        staging.shared.refuse_failed()?;
        let moves = staging.shared.moves();
        let mut bytes = 0;
        for step in moves.iter().take(FEW_FILES) {
            let metadata = std::fs::symlink_metadata(&step.from).at("examine", &step.from)?;
            bytes += metadata.len();
        }
        let packed = moves
            .iter()
            .any(|step| matches!(step.id, ObjectId::Pack(_)));
        if packed || moves.len() > FEW_FILES || bytes > SMALL_BYTES {
            staging.shared.publish()?;
            return Ok(Self(None));
        }
        Ok(Self(Some(Waiting { staging, moves })))
    }

    /// Makes the objects durable in their files after all.
    pub(crate) fn publish(self) -> Result<(), StoreError> {
        match self.0 {
            Some(waiting) => waiting.staging.shared.publish(),
            None => Ok(()),
        }
    }

    /// The objects, for the record.
    pub(crate) fn read(&self) -> Result<Vec<ObjectBytes>, StoreError> {
        let moves = self.0.iter().flat_map(|waiting| &waiting.moves);
        moves
            .map(|step| {
                let bytes = std::fs::read(&step.from).at("read", &step.from)?;
                Ok((step.id, bytes))
            })
            .collect()
    }

    /// Gives the objects, which a record holds by now, their names.
    pub(crate) fn place(self) -> Result<(), StoreError> {
        let Some(Waiting { staging, moves, .. }) = self.0 else {
            return Ok(());
        };
        for step in &moves {
            staging.shared.place(step)?;
            staging.shared.lock().insert(step.id, Place::Store);
        }
        Ok(())
    }
}
