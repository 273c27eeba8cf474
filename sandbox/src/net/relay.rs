//! Carrying bytes between two connections, counted and at the allowed rate.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};

use super::limits::{Bucket, Gauge};

/// How much is read at once, in bytes: few enough wake-ups for full speed, and it stays in the processor's cache.
const PORTION: usize = 128 << 10;

/// What passed so far.
#[derive(Debug, Default)]
pub(super) struct Counted {
    /// Bytes that left the sandbox.
    pub(super) sent: AtomicU64,
    /// Bytes that came in.
    pub(super) received: AtomicU64,
}

/// Carries until both sides are done; an end of one side is an end for the other, and so is a reset.
pub(super) async fn relay(
    mut inside: TcpStream,
    mut outside: TcpStream,
    gauge: &Gauge,
    counted: &Counted,
) -> io::Result<()> {
    let done = {
        let (from_inside, to_inside) = inside.split();
        let (from_outside, to_outside) = outside.split();
        let out = carry(from_inside, to_outside, gauge.out.as_ref(), &counted.sent);
        let back = carry(
            from_outside,
            to_inside,
            gauge.back.as_ref(),
            &counted.received,
        );
        tokio::try_join!(out, back)
    };
    if done.is_err() {
        reset(&inside);
        reset(&outside);
    }
    done.map(|_| ())
}

/// Makes a connection end by a reset when it is closed.
pub(super) fn reset(stream: &TcpStream) {
    // One that is gone already needs none.
    stream.set_zero_linger().unwrap_or_default();
}

async fn carry(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    bucket: Option<&Bucket>,
    count: &AtomicU64,
) -> io::Result<()> {
    let portion = bucket.map_or(PORTION, |bucket| bucket.portion(PORTION));
    let mut buffer = vec![0; portion];
    loop {
        let length = from.read(&mut buffer).await?;
        let Some(bytes) = buffer.get(..length).filter(|bytes| !bytes.is_empty()) else {
            return to.shutdown().await;
        };
        if let Some(bucket) = bucket {
            bucket.take(length).await;
        }
        to.write_all(bytes).await?;
        count.fetch_add(length as u64, Ordering::Relaxed);
    }
}
