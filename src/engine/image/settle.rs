//! Unpacking what images brought, after the load returned and beside everything else.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::engine::home::Home;

impl Home {
    /// Makes files of the blobs that packs of images hold, on a thread of its own, one at a time. Where
    /// it fails (a full disk) it is tried again in the next quiet time; the packs stay readable.
    pub(crate) fn unpack_in_background(&self) {
        if !self.store.has_packs() || self.unpacking.swap(true, Ordering::AcqRel) {
            return;
        }
        let store = Arc::clone(&self.store);
        let (unpacking, changes) = (Arc::clone(&self.unpacking), Arc::clone(&self.changes));
        let spawned = thread::Builder::new()
            .name("unpack".to_owned())
            .spawn(move || {
                // Stopped rather than held, as a change may need what is unpacked and wait for it. A home that
                // was deleted needs nothing any more.
                let disturbed = AtomicBool::new(false);
                let stop = || {
                    let disturbs = changes.are_made();
                    disturbed.fetch_or(disturbs, Ordering::Relaxed);
                    disturbs || !store.is_present()
                };
                let end = loop {
                    changes.wait();
                    let end = store.unpack(&stop);
                    if end.is_err() || !disturbed.swap(false, Ordering::Relaxed) {
                        break end;
                    }
                };
                match end {
                    Ok(done) => tracing::debug!(?done, "packs of images are unpacked"),
                    Err(error) => tracing::warn!(%error, "packs of images stay packed for now"),
                }
                unpacking.store(false, Ordering::Release);
            });
        if let Err(error) = spawned {
            tracing::warn!(%error, "no thread for unpacking");
            self.unpacking.store(false, Ordering::Release);
        }
    }
}
