//! Checking every rule of the layer encoding: for `check`, and for layers that come from
//! elsewhere. What passes is what [`super::LayerBuilder`] would have written, byte for byte in
//! its structure.

use super::read::{array, u32_at, u64_at};
use super::{Entry, EntryIndex, EntryKind, HEADER, Layer, LayerFormatError, is_plain_name};

impl Layer {
    /// Checks the whole structure; takes time in proportion to the number of entries.
    pub fn verify(&self) -> Result<(), LayerFormatError> {
        let mut walk = Walk {
            layer: self,
            next_child: 1,
            heap: 0,
            content_bytes: 0,
            used: vec![false; self.blob_count() as usize],
        };
        let header = self.encoded();
        let zeroes = u32_at(header, 16) == 0
            && u32_at(header, 28) == 0
            && header[48..HEADER].iter().all(|&byte| byte == 0);
        walk.rule(0, zeroes, "reserved header fields are not zero")?;
        for (index, entry) in self.entries() {
            walk.entry(index, &entry)?;
        }
        let last = self.len() as u32;
        walk.rule(
            last,
            walk.next_child == u64::from(last),
            "entries that no directory holds",
        )?;
        walk.rule(
            last,
            walk.heap == self.heap_len(),
            "bytes at the end that no entry uses",
        )?;
        walk.rule(
            last,
            walk.content_bytes == self.content_bytes(),
            "sizes do not add up",
        )?;
        walk.rule(
            last,
            walk.used.iter().all(|&used| used),
            "a blob that no entry uses",
        )?;
        let blobs: Vec<_> = self.blobs().collect();
        let ascending = blobs.windows(2).all(|pair| pair[0] < pair[1]);
        walk.rule(last, ascending, "the blob table is not in order")
    }
}

struct Walk<'a> {
    layer: &'a Layer,
    next_child: u64,
    heap: u64,
    content_bytes: u64,
    used: Vec<bool>,
}

impl Walk<'_> {
    #[expect(
        clippy::unused_self,
        reason = "reads as one sentence at its many calls"
    )]
    fn rule(&self, entry: u32, holds: bool, rule: &'static str) -> Result<(), LayerFormatError> {
        if holds {
            Ok(())
        } else {
            Err(LayerFormatError::Structure { entry, rule })
        }
    }

    fn entry(&mut self, index: EntryIndex, entry: &Entry<'_>) -> Result<(), LayerFormatError> {
        let at = index.0;
        let record = self.layer.record(index).unwrap_or_default();
        self.rule(at, record[7] == 0, "a reserved byte is not zero")?;
        self.rule(
            at,
            u32_at(record, 12) <= 0o777,
            "mode has more than permission bits",
        )?;
        self.rule(
            at,
            u64::from(u32_at(record, 0)) == self.heap,
            "name is out of place",
        )?;
        self.heap += u64::from(u16::from_le_bytes(array(record, 4)));
        if index == EntryIndex::ROOT {
            let root = entry.name.is_empty() && entry.parent == index && entry.kind.is_dir();
            self.rule(at, root, "the root is a nameless directory")?;
        } else {
            self.named(index, entry)?;
        }
        self.payload(at, entry, record)
    }

    fn named(&self, index: EntryIndex, entry: &Entry<'_>) -> Result<(), LayerFormatError> {
        let at = index.0;
        self.rule(at, is_plain_name(entry.name), "not a plain name")?;
        self.rule(
            at,
            std::str::from_utf8(entry.name).is_ok(),
            "the name is no UTF-8",
        )?;
        let siblings = self.layer.child_range(entry.parent);
        self.rule(at, siblings.contains(&at), "its parent does not hold it")?;
        if at > siblings.start {
            let before = self
                .layer
                .get(EntryIndex(at - 1))
                .map(|sibling| sibling.name);
            self.rule(at, before < Some(entry.name), "names are not in order")?;
        }
        Ok(())
    }

    fn payload(
        &mut self,
        at: u32,
        entry: &Entry<'_>,
        record: &[u8],
    ) -> Result<(), LayerFormatError> {
        let (first, second) = (u64_at(record, 32), u64_at(record, 40));
        match entry.kind {
            EntryKind::Dir { first_child, count } => {
                let plain = entry.mode == 0o755 && entry.mtime == 0 && entry.size == 0;
                self.rule(at, plain, "a directory has mode 755, time 0 and size 0")?;
                let next = u64::from(first_child.0) == self.next_child;
                self.rule(at, next, "children are not in breadth-first order")?;
                self.next_child += u64::from(count);
            }
            EntryKind::File { .. } => {
                self.rule(at, second == 0, "a reserved field is not zero")?;
                self.blob(first);
            }
            EntryKind::Inline { bytes } => self.heap_bytes(at, first, second, bytes)?,
            EntryKind::Extended { tail, .. } => {
                self.blob(first & u64::from(u32::MAX));
                self.heap_bytes(at, first >> 32, 0, tail)?;
            }
            EntryKind::Symlink { target } => {
                let plain = entry.mode == 0o777
                    && entry.mtime == 0
                    && !target.is_empty()
                    && !target.contains(&0);
                self.rule(
                    at,
                    plain,
                    "a link has mode 777, time 0 and a target without NUL",
                )?;
                self.heap_bytes(at, first, second, target)?;
            }
            EntryKind::Damaged => self.rule(at, false, "unknown kind, or out of bounds")?,
        }
        if !matches!(entry.kind, EntryKind::Symlink { .. }) {
            self.content_bytes = self.content_bytes.wrapping_add(entry.size);
        }
        Ok(())
    }

    fn blob(&mut self, index: u64) {
        if let Some(used) = self.used.get_mut(index as usize) {
            *used = true;
        }
    }

    fn heap_bytes(
        &mut self,
        at: u32,
        offset: u64,
        reserved: u64,
        bytes: &[u8],
    ) -> Result<(), LayerFormatError> {
        self.rule(at, reserved == 0, "a reserved field is not zero")?;
        self.rule(at, offset == self.heap, "bytes are out of place")?;
        self.heap += bytes.len() as u64;
        Ok(())
    }
}
