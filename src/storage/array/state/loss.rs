//! What became of a file behind our back.
//!
//! **Invariant**: a file that is lost stays so until it is opened again.

/// What is known of it.
#[derive(Debug, Default)]
pub(in crate::storage) struct Loss {
    /// What another process or the disk did to the file: nothing in it is relied on until it is opened again.
    lost: Option<String>,
    /// Why the file cannot be found by its name, as far as was checked.
    unlinked: Option<&'static str>,
    /// Whether the file is found by its name could not be told when that was last looked at.
    name_unknown: bool,
    /// When the file's length was last compared with what it should be.
    checked_at: u64,
}

impl Loss {
    #[inline]
    pub fn is_lost(&self) -> bool {
        self.lost.is_some()
    }

    /// What was done to the file, if something was.
    pub fn lost(&self) -> Option<&str> {
        self.lost.as_deref()
    }

    pub fn mark_lost(&mut self, reason: String) {
        self.lost = Some(reason);
    }

    /// Why the file cannot be found by its name, if that is so.
    pub fn unlinked(&self) -> Option<&'static str> {
        self.unlinked
    }

    pub fn set_unlinked(&mut self, why: Option<&'static str>) {
        self.unlinked = why;
    }

    /// Notes whether it can be told that the file is found by its name; whether that is news.
    pub fn set_name_unknown(&mut self, unknown: bool) -> bool {
        std::mem::replace(&mut self.name_unknown, unknown) != unknown
    }

    /// Whether the length is to be compared at that moment: it was not yet, or the file is lost.
    #[inline]
    pub fn is_check_due(&mut self, now: u64) -> bool {
        let due = self.is_lost() || now != self.checked_at;
        if due {
            self.checked_at = now;
        }
        due
    }

    /// The file was opened again.
    pub fn reopened(&mut self) {
        self.lost = None;
        self.unlinked = None;
        self.name_unknown = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_file_is_looked_at_each_time_until_it_is_opened_again() {
        let mut loss = Loss::default();
        assert!(loss.is_check_due(1) && !loss.is_check_due(1));
        loss.mark_lost("was cut".to_owned());
        assert!(loss.is_check_due(1) && loss.is_lost());
        loss.set_unlinked(Some("was deleted"));
        assert_eq!(loss.lost(), Some("was cut"));
        loss.reopened();
        assert!(!loss.is_check_due(1) && loss.unlinked().is_none());
    }
}
