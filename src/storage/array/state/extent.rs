//! Which values an array has, and how long its file is.
//!
//! **Invariants.** A file is *exact* or has *slack*. The length of an exact one follows from the count: neither can be set
//! without the other. With slack there is a record, all values end before it, and only then are there places where the next
//! growth and the next window of page faults are due: a file that becomes exact loses them all at once.

use std::ops::Range;

use crate::storage::array::state::span::Span;
use crate::storage::format::layout::Layout;
use crate::storage::format::record;
use crate::storage::format::recovery::Contents;

/// How far ahead of the last value the worker takes page faults, in bytes: little enough that pages which the kernel has just
/// filled with zeros are still in the caches when values come, and so much that half of it lasts longer than a slice of
/// another process.
const PREFAULT_WINDOW: u64 = 4 << 20;

/// Values and length of the file of an array.
#[derive(Debug)]
pub(in crate::storage) struct Extent {
    data_at: u64,
    item_size: u64,
    span: Span,
    form: Form,
    /// The worker was asked to grow the file, or could not: it is not asked again until it answered.
    growth_asked: bool,
    /// The number of values that the header of a `.npy` file promises.
    header_count: u64,
    /// The file may be longer than it should be, since it could not be cut.
    overlong: bool,
}

#[derive(Debug)]
enum Form {
    /// The file ends with the values, but for bytes that are no whole value, of a file that others write.
    Exact {
        odd: u64,
    },
    Slack(Slack),
}

/// The space behind the values.
#[derive(Debug)]
struct Slack {
    /// Where the record is, in bytes. Values end at most where the header of a note before it would begin.
    record_at: u64,
    /// When the values reach this byte, the next growth is due.
    grow_at: Option<u64>,
    /// Up to where page faults were taken, and from where on the next window is due, in bytes.
    prefaulted_to: u64,
    prefault_at: Option<u64>,
    /// The first of what is due; where nothing is, the place of the record.
    due_at: u64,
}

impl Slack {
    fn find_due(&mut self) {
        let due = self.grow_at.into_iter().chain(self.prefault_at).min();
        self.due_at = due.unwrap_or(self.record_at).min(self.record_at);
    }
}

/// Where the window of page faults behind a byte ends, in a file of that length.
pub(in crate::storage) fn window_behind(end: u64, len: u64) -> u64 {
    (end + PREFAULT_WINDOW).min(len)
}

/// How the length of a file compares with what it should be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::storage) enum Length {
    AsLeft,
    /// It could not be cut before.
    Overlong,
    /// Another process changed it.
    Changed,
}

impl Extent {
    /// Of a file as it was found, `head` of whose values were dropped.
    pub fn found(layout: &Layout, head: u64, contents: &Contents) -> Self {
        let mut extent = Self::exact(
            layout,
            Span {
                head,
                count: contents.count,
            },
        );
        extent.look_again(contents);
        extent
    }

    /// Of a file that ends with its values.
    pub fn exact(layout: &Layout, span: Span) -> Self {
        Self {
            data_at: layout.data_at(),
            item_size: layout.item.size() as u64,
            span,
            form: Form::Exact { odd: 0 },
            growth_asked: false,
            header_count: span.count,
            overlong: false,
        }
    }

    /// Takes over what another process made of the file.
    pub fn look_again(&mut self, contents: &Contents) {
        self.span.count = contents.count;
        self.form = if contents.slack {
            let record_at = contents.file_len - record::SIZE;
            Form::Slack(Slack {
                record_at,
                grow_at: None,
                prefaulted_to: 0,
                prefault_at: None,
                due_at: record_at,
            })
        } else {
            Form::Exact {
                odd: contents.file_len.saturating_sub(self.end()),
            }
        };
    }

    /// Which values there are.
    #[inline]
    pub fn span(&self) -> Span {
        self.span
    }

    /// Number of values.
    #[inline]
    pub fn count(&self) -> u64 {
        self.span.count
    }

    /// Number of values that were dropped from the head so far.
    pub fn head(&self) -> u64 {
        self.span.head
    }

    /// Where the values end, in bytes.
    #[inline]
    pub fn end(&self) -> u64 {
        self.data_at + self.span.count * self.item_size
    }

    /// Length of the file, in bytes.
    #[inline]
    pub fn len(&self) -> u64 {
        match &self.form {
            Form::Exact { odd } => self.end() + odd,
            Form::Slack(slack) => slack.record_at + record::SIZE,
        }
    }

    /// Whether the file has slack, and so ends in a record.
    #[inline]
    pub fn has_slack(&self) -> bool {
        matches!(self.form, Form::Slack(_))
    }

    /// Where the record is, if there is one.
    #[inline]
    pub fn record_at(&self) -> Option<u64> {
        match &self.form {
            Form::Exact { .. } => None,
            Form::Slack(slack) => Some(slack.record_at),
        }
    }

    /// Bytes behind the values.
    pub fn slack_bytes(&self) -> u64 {
        match &self.form {
            Form::Exact { .. } => 0,
            Form::Slack(_) => self.len() - self.end(),
        }
    }

    /// Where values may end without a change of the length.
    pub fn room_to(&self) -> u64 {
        match &self.form {
            Form::Exact { .. } => self.len(),
            // Of a file that others write they may end nearer to the record.
            Form::Slack(slack) => (slack.record_at - record::NOTE_HEADER).max(self.end()),
        }
    }

    /// Where the record is, if `bytes` more have room before it and the header of a note.
    #[inline]
    pub fn room_for(&self, bytes: u64) -> Option<u64> {
        self.record_at()
            .filter(|record_at| self.end() + bytes + record::NOTE_HEADER <= *record_at)
    }

    /// Sets the number of values, and so the length of an exact file.
    #[inline]
    pub fn set_count(&mut self, count: u64) {
        self.span.count = count;
        debug_assert!(self.end() <= self.room_to(), "{self:?}");
    }

    /// Sets how many values were dropped from the head.
    pub fn set_head(&mut self, head: u64) {
        self.span.head = head;
    }

    /// The file has slack from now on, or more of it, and ends with a record at this length.
    pub fn grow_to(&mut self, len: u64) {
        let record_at = len - record::SIZE;
        let (old_end, prefaulted_to) = match &self.form {
            Form::Exact { .. } => (self.end(), self.end()),
            Form::Slack(slack) => (self.len(), slack.prefaulted_to),
        };
        let mut slack = Slack {
            record_at,
            grow_at: Some(record_at - record_at.saturating_sub(old_end) / 2),
            prefaulted_to,
            prefault_at: Some(prefaulted_to.saturating_sub(PREFAULT_WINDOW / 2).max(1)),
            due_at: record_at,
        };
        slack.find_due();
        self.form = Form::Slack(slack);
        self.growth_asked = false;
    }

    /// The file ends with its values from now on.
    pub fn become_exact(&mut self) {
        self.form = Form::Exact { odd: 0 };
        self.growth_asked = false;
    }

    /// The record is elsewhere from now on; says where it was. Nothing happens to a file without slack.
    pub fn move_record(&mut self, record_at: u64) -> u64 {
        match &mut self.form {
            Form::Exact { .. } => record_at,
            Form::Slack(slack) => {
                let before = std::mem::replace(&mut slack.record_at, record_at);
                slack.find_due();
                before
            }
        }
    }

    /// Whether something is due once values end at that byte of the slack.
    #[inline]
    pub fn is_anything_due(&self, end: u64) -> bool {
        match &self.form {
            Form::Exact { .. } => false,
            Form::Slack(slack) => end >= slack.due_at,
        }
    }

    /// Whether a growth is due at that byte.
    pub fn is_growth_due(&self, end: u64) -> bool {
        match &self.form {
            Form::Exact { .. } => false,
            Form::Slack(slack) => slack.grow_at.is_some_and(|at| end >= at),
        }
    }

    /// Whether the worker is to be asked to grow the file: it was not, or has answered.
    pub fn ask_for_growth(&mut self) -> bool {
        !std::mem::replace(&mut self.growth_asked, true)
    }

    /// The worker may be asked again.
    pub fn growth_answered(&mut self) {
        self.growth_asked = false;
    }

    /// No growth is due any more, as there can be none.
    pub fn give_up_growth(&mut self) {
        if let Form::Slack(slack) = &mut self.form {
            slack.grow_at = None;
            slack.find_due();
        }
    }

    /// A growth is due now.
    #[cfg(test)]
    pub fn make_growth_due(&mut self) {
        if let Form::Slack(slack) = &mut self.form {
            slack.grow_at = Some(0);
            slack.find_due();
        }
    }

    /// Whether the next window of page faults is due at that byte; then it is not due again until it was taken.
    pub fn take_due_prefault(&mut self, end: u64) -> bool {
        match &mut self.form {
            Form::Exact { .. } => false,
            Form::Slack(slack) => {
                let due = slack.prefault_at.take_if(|at| end >= *at).is_some();
                slack.find_due();
                due
            }
        }
    }

    /// The window of page faults that is to be taken next, in bytes; `None` without slack.
    pub fn next_window(&self) -> Option<Range<u64>> {
        let Form::Slack(slack) = &self.form else {
            return None;
        };
        let end = self.end();
        Some(end.max(slack.prefaulted_to)..window_behind(end, self.len()))
    }

    /// Whether page faults were taken up to that byte.
    pub fn is_prefaulted(&self, end: u64) -> bool {
        match &self.form {
            Form::Exact { .. } => false,
            Form::Slack(slack) => end <= slack.prefaulted_to,
        }
    }

    /// Page faults were taken up to that byte.
    pub fn prefaulted(&mut self, to: u64) {
        let len = self.len();
        if let Form::Slack(slack) = &mut self.form
            && to <= len
        {
            slack.prefaulted_to = to;
            slack.prefault_at = (to < len).then(|| to.saturating_sub(PREFAULT_WINDOW / 2).max(1));
            slack.find_due();
        }
    }

    /// The number of values that the header of a `.npy` file promises.
    pub fn header_count(&self) -> u64 {
        self.header_count
    }

    /// The header promises `count` values.
    pub fn set_header_count(&mut self, count: u64) {
        self.header_count = count;
    }

    /// Whether the file could be cut to its length; if not, that is tried again.
    pub fn set_overlong(&mut self, overlong: bool) {
        self.overlong = overlong;
    }

    /// Compares the length of the file with what it should be.
    pub fn compare(&mut self, len: u64) -> Length {
        if len == self.len() {
            self.overlong = false;
            return Length::AsLeft;
        }
        if len > self.len() && self.overlong {
            Length::Overlong
        } else {
            Length::Changed
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::types::ItemType;

    fn layout() -> Layout {
        Layout {
            item: ItemType::DOUBLE,
            npy: None,
        }
    }

    fn exact(count: u64) -> Extent {
        Extent::exact(&layout(), Span { head: 5, count })
    }

    #[test]
    fn the_length_of_an_exact_file_follows_from_its_count() {
        let mut extent = exact(3);
        assert_eq!((extent.len(), extent.record_at()), (24, None));
        extent.set_count(7);
        assert_eq!((extent.len(), extent.end(), extent.head()), (56, 56, 5));
        assert_eq!(extent.room_for(1), None);
        assert!(!extent.is_anything_due(u64::MAX));
    }

    #[test]
    fn slack_ends_in_a_record_and_asks_for_more_when_half_of_it_is_used() {
        let mut extent = exact(0);
        extent.grow_to(8192);
        let record_at = 8192 - record::SIZE;
        assert_eq!(extent.record_at(), Some(record_at));
        assert_eq!(extent.len(), 8192);
        let room = record_at - record::NOTE_HEADER;
        assert_eq!(
            (extent.room_for(room), extent.room_to()),
            (Some(record_at), room)
        );
        assert_eq!(extent.room_for(room + 1), None);
        assert!(extent.is_growth_due(record_at / 2) && !extent.is_growth_due(record_at / 2 - 1));
        extent.give_up_growth();
        assert!(!extent.is_growth_due(record_at));
    }

    #[test]
    fn who_becomes_exact_forgets_all_that_was_due() {
        let mut extent = exact(1);
        extent.grow_to(1 << 30);
        extent.prefaulted(1 << 25);
        assert!(extent.ask_for_growth() && !extent.ask_for_growth());
        extent.become_exact();
        assert_eq!((extent.len(), extent.next_window()), (8, None));
        assert!(extent.ask_for_growth(), "an earlier question is answered");
        extent.grow_to(1 << 30);
        assert_eq!(extent.next_window(), Some(8..8 + PREFAULT_WINDOW));
    }

    #[test]
    fn a_window_is_due_once_until_it_was_taken() {
        let mut extent = exact(1);
        extent.grow_to(1 << 30);
        assert!(extent.is_anything_due(8));
        assert!(extent.take_due_prefault(8) && !extent.take_due_prefault(8));
        assert!(!extent.is_anything_due(8));
        let window = extent.next_window().unwrap();
        extent.prefaulted(window.end);
        assert!(extent.is_anything_due(window.end - PREFAULT_WINDOW / 2));
        assert!(!extent.is_anything_due(window.end - PREFAULT_WINDOW / 2 - 1));
        extent.prefaulted(1 << 30);
        extent.give_up_growth();
        assert!(!extent.is_anything_due((1 << 30) - record::SIZE - 1));
    }

    #[test]
    fn a_record_that_moved_can_be_put_back() {
        let mut extent = exact(1);
        extent.grow_to(1 << 20);
        let far = extent.move_record(4096 - record::SIZE);
        assert_eq!(extent.len(), 4096);
        extent.move_record(far);
        assert_eq!(extent.len(), 1 << 20);
    }

    #[test]
    fn odd_bytes_of_a_file_that_others_write_belong_to_its_length() {
        let mut extent = exact(0);
        extent.look_again(&Contents {
            count: 2,
            synced: 2,
            file_len: 19,
            slack: false,
            went_down: false,
            left: None,
        });
        assert_eq!((extent.count(), extent.end(), extent.len()), (2, 16, 19));
    }

    #[test]
    fn a_longer_file_is_ours_to_cut_only_if_it_could_not_be_cut_before() {
        let mut extent = exact(2);
        assert_eq!(extent.compare(16), Length::AsLeft);
        assert_eq!(extent.compare(24), Length::Changed);
        extent.set_overlong(true);
        assert_eq!(extent.compare(24), Length::Overlong);
        assert_eq!(extent.compare(8), Length::Changed);
        assert_eq!(extent.compare(16), Length::AsLeft);
        assert_eq!(extent.compare(24), Length::Changed, "it was cut");
    }
}
