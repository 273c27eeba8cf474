//! The daemon's events as bars on a terminal, as lines elsewhere.
//!
//! Bars are made at the first event that has something to draw, so that a quick command draws
//! nothing. At most [`MOST_BARS`] transfers are drawn at once; a line above them counts all.

use std::collections::HashMap;
use std::time::Duration;

use blast_types::Event;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{Level, Printer, units};

/// More transfers than this are counted, not drawn.
const MOST_BARS: usize = 6;

/// Smaller transfers are over before they could be read.
const LEAST_DRAWN_BYTES: u64 = 1 << 20;

/// Shows the events of one request; dropping it removes the bars.
pub(crate) struct Progress {
    printer: Printer,
    bars: Option<Bars>,
    drawing: bool,
}

struct Bars {
    all: MultiProgress,
    head: ProgressBar,
    transfers: HashMap<String, ProgressBar>,
    unpacked: usize,
}

impl Progress {
    /// For one request.
    pub(crate) fn new(printer: Printer) -> Self {
        Self {
            printer,
            bars: None,
            drawing: printer.can_draw(),
        }
    }

    /// Shows one event.
    pub(crate) fn show(&mut self, event: &Event) {
        if let Event::Warning { message } = event {
            self.pause(|printer| printer.warn(message));
        } else if self.drawing {
            self.bars.get_or_insert_with(Bars::new).show(event);
        }
        // Lines of their own where there are no bars, and beside them only on demand.
        let wanted = if self.drawing {
            Level::Debug
        } else {
            Level::Verbose
        };
        if self.printer.level() >= wanted
            && let Some(line) = line(event)
        {
            self.pause(|printer| printer.detail(line));
        }
    }

    fn pause(&self, print: impl FnOnce(Printer)) {
        match &self.bars {
            Some(bars) => bars.all.suspend(|| print(self.printer)),
            None => print(self.printer),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bars) = &self.bars {
            for bar in bars.transfers.values() {
                bar.finish_and_clear();
            }
            bars.head.finish_and_clear();
        }
    }
}

impl Bars {
    fn new() -> Self {
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(15));
        let head = all.add(ProgressBar::new_spinner());
        head.enable_steady_tick(Duration::from_millis(120));
        Self {
            all,
            head,
            transfers: HashMap::new(),
            unpacked: 0,
        }
    }

    fn show(&mut self, event: &Event) {
        match event {
            Event::Phase { name } => self.head.set_message(name.clone()),
            Event::Resolving { decided, package } => {
                self.head
                    .set_message(format!("resolving ({decided} decided) {package}"));
            }
            Event::Building { package } => self.head.set_message(format!("building {package}")),
            Event::Unpacked { package } => {
                self.unpacked += 1;
                self.head
                    .set_message(format!("unpacked {} {package}", self.unpacked));
            }
            Event::Download { file, done, total } => self.transfer(file, *done, *total),
            Event::Compiling { done, total } => {
                self.head
                    .set_message(format!("compiled {done} of {total} modules"));
            }
            Event::Cleaning { done, total } => self.count(*done, *total),
            Event::Warning { .. } => {}
        }
    }

    /// A bar of its own for what is counted rather than measured.
    fn count(&mut self, done: u64, total: u64) {
        let bar = self.transfers.entry(String::new()).or_insert_with(|| {
            let bar = self.all.add(ProgressBar::new(total));
            let template = "  {bar:44} {pos:>9}/{len} objects";
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style.progress_chars("=> "));
            }
            bar
        });
        bar.set_position(done);
        if done >= total {
            bar.finish_and_clear();
        }
    }

    fn transfer(&mut self, file: &str, done: u64, total: u64) {
        if total > 0 && done >= total {
            if let Some(bar) = self.transfers.remove(file) {
                bar.finish_and_clear();
                self.all.remove(&bar);
            }
            return;
        }
        let known = self.transfers.contains_key(file);
        if !known && (self.transfers.len() >= MOST_BARS || (1..LEAST_DRAWN_BYTES).contains(&total))
        {
            self.head.set_message(format!("downloading {file}"));
            return;
        }
        let bar = self
            .transfers
            .entry(file.to_owned())
            .or_insert_with(|| transfer_bar(&self.all, file, total));
        bar.set_position(done);
    }
}

fn transfer_bar(all: &MultiProgress, file: &str, total: u64) -> ProgressBar {
    let bar = all.add(if total > 0 {
        ProgressBar::new(total)
    } else {
        ProgressBar::no_length()
    });
    let template = if total > 0 {
        "  {msg:<44!} {bar:20} {decimal_bytes:>9}/{decimal_total_bytes:9} {decimal_bytes_per_sec}"
    } else {
        "  {msg:<44!} {decimal_bytes:>9} {decimal_bytes_per_sec}"
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_message(file.to_owned());
    bar
}

/// An event as a line of talk; `None` for what comes too often to be one.
fn line(event: &Event) -> Option<String> {
    match event {
        Event::Phase { name } => Some(name.clone()),
        Event::Building { package } => Some(format!("building {package}")),
        Event::Unpacked { package } => Some(format!("unpacked {package}")),
        Event::Download { file, done, total } if done == total => {
            Some(format!("downloaded {file} ({})", units::bytes(*total)))
        }
        Event::Cleaning { done, total } if done == total => Some(format!(
            "removed {}",
            units::count(*total as usize, "object")
        )),
        Event::Compiling { done, total } if done == total => Some(format!(
            "compiled {}",
            units::count(*total as usize, "module")
        )),
        Event::Resolving { .. }
        | Event::Download { .. }
        | Event::Compiling { .. }
        | Event::Cleaning { .. }
        | Event::Warning { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_over_becomes_a_line() {
        let download = |done| Event::Download {
            file: "a.whl".into(),
            done,
            total: 2048,
        };
        assert_eq!(line(&download(1024)), None);
        assert_eq!(
            line(&download(2048)).as_deref(),
            Some("downloaded a.whl (2.0 kB)")
        );
        let resolving = Event::Resolving {
            decided: 3,
            package: "a".into(),
        };
        assert_eq!(line(&resolving), None);
    }

    #[test]
    fn bars_come_and_go_with_their_transfers() {
        let mut bars = Bars::new();
        bars.all.set_draw_target(ProgressDrawTarget::hidden());
        let big = 10 * LEAST_DRAWN_BYTES;
        for number in 0..MOST_BARS + 3 {
            bars.transfer(&format!("{number}.whl"), 0, big);
        }
        assert_eq!(bars.transfers.len(), MOST_BARS);
        bars.transfer("0.whl", big, big);
        assert_eq!(bars.transfers.len(), MOST_BARS - 1);
        bars.transfer("small.whl", 0, 10);
        assert!(!bars.transfers.contains_key("small.whl"));
    }
}
