//! What is known of an array before its values come, and what can be made of that alone.

use std::ffi::c_int;

use crate::redis::keys::binding::Binding;
use crate::redis::keys::unavailable::{Unavailable, not_received};
use crate::redis::mode::phase::Phase;
use crate::redis::mode::role::is_replica;
use crate::redis::persistence::format;
use crate::redis::persistence::format::{Origin, Saver};
use crate::redis::persistence::rights::{check_bindable, owner, with_former};
use crate::redis::replication::{doubt_stream, missing};
use crate::redis::server::KeyName;
use crate::redis::server::rdb::{Damaged, RdbReader};
use crate::redis::settings::RdbContents;
use crate::redis::{settings, store};
use crate::storage::types::ItemType;
use crate::storage::{Access, Bound, Error, FilePath};

/// What is known of an array before its values.
pub struct Header {
    pub path: FilePath,
    pub item: ItemType,
    pub access: Access,
    pub count: u64,
    pub origin: Origin,
    pub saver: Saver,
    pub contents: u64,
    /// The key that it is for.
    pub key: Option<KeyName>,
    /// Why nothing can be bound: what was read is no path, or no type. The rest can be read all the same.
    pub flaw: Option<String>,
}

impl Header {
    pub fn read(rdb: &RdbReader, version: c_int) -> Result<Self, Damaged> {
        let mut saved = format::SavedHeader::default();
        saved.pass(rdb, version)?;
        if version < format::HAS_SAVER {
            // It does not say for whom it was saved: values are for a replica there, unless each RDB file is to be a backup.
            saved.saver.is_for_replicas = settings::rdb_contents() != RdbContents::Yes;
        }
        let size = saved.item_size.to_string().into_bytes();
        let parse = || {
            let item = ItemType::parse(&saved.type_name, Some(&size))?;
            Ok::<_, Error>((FilePath::new(&saved.path)?, item))
        };
        let (path, item, flaw) = match parse() {
            Ok((path, item)) => (path, item, None),
            Err(error) => (
                FilePath::unusable(&[&saved.type_name, &size, &saved.path]),
                ItemType::DOUBLE,
                Some(error.to_string()),
            ),
        };
        let access = if saved.is_writable {
            Access::Writable
        } else {
            Access::ReadOnly
        };
        let format::SavedHeader {
            count,
            origin,
            saver,
            contents,
            ..
        } = saved;
        // What was saved by another server, for this one, is what this one goes on from.
        let is_own = !saver.is_for_replicas || saver.identity == store().identity();
        if origin.is_primary && is_own && Phase::now().loads_own_data() {
            doubt_stream("it was a primary when it saved its RDB file");
        }
        Ok(Self {
            path,
            item,
            access,
            count,
            origin,
            saver,
            contents,
            key: rdb.key_name(),
            flaw,
        })
    }

    /// Binds the file that is there.
    pub fn bind(mut self, rdb: &RdbReader, phase: Phase) -> Result<Binding, Damaged> {
        if let Some(flaw) = self.flaw.take() {
            return self.without_file(phase, flaw);
        }
        // The values that came with an earlier key may have had no room.
        let came_to_nothing = self.contents == format::contents::EARLIER
            && Unavailable::wants(&self.path)
            && !matches!(store().find_copy(&self.path), Ok(Some(_)));
        if self.origin.is_out_of_date || came_to_nothing {
            let reason = not_received(&self.path);
            return self.without_file(phase, reason);
        }
        if phase == Phase::Idle {
            store().has_room_for(&self.path)?;
        }
        if let Err(error) = check_bindable(rdb, &self.path, phase) {
            return self.without_file(phase, error.to_string());
        }
        let bound = match self.bind_file() {
            Err(Error::TypeConflict { .. }) => self.bind_in_place_of_former(rdb),
            bound => bound,
        };
        match bound {
            Ok(bound) => {
                if phase.loads_own_data() && bound.went_down() {
                    doubt_stream("its machine went down");
                }
                if phase == Phase::LoadingFile && bound.was_cut() {
                    bound.doubt_contents("its file was cut while the server was down");
                }
                if phase == Phase::LoadingFile && bound.published_count() < self.count {
                    bound.doubt_length(
                        "its file holds fewer values than when the RDB file was saved",
                    );
                }
                if self.access == Access::Writable {
                    bound.set_owner(&owner(rdb));
                }
                Ok(self.open(bound))
            }
            Err(error) => self.without_file(phase, error.to_string()),
        }
    }

    fn bind_file(&self) -> Result<Bound, Error> {
        store().bind(&self.path, self.item, self.access, false)
    }

    /// Binds a file that the key is bound to as another type, where no other key is: an old binding ends before the
    /// new one begins, as the one follows the other in an AOF.
    fn bind_in_place_of_former(&self, rdb: &RdbReader) -> Result<Bound, Error> {
        with_former(rdb, |former| {
            let file = store().identify(&self.path)?;
            let is_its_file =
                |former: &&mut Binding| file.is_some_and(|id| former.is_alone_with(id));
            let Some(former) = former.filter(is_its_file) else {
                return self.bind_file();
            };
            former.unbind();
            self.bind_file().inspect_err(|_| former.bind_again())
        })
    }

    pub fn open(self, bound: Bound) -> Binding {
        // It goes on with its primary's stream from where the RDB was saved.
        if is_replica() && Phase::now() != Phase::Idle {
            bound.set_unannounced(self.origin.unannounced);
            bound.set_resent(self.origin.is_resent);
        }
        // Whatever the server is by now, there is nothing else that says so.
        if Phase::now().loads_own_data() {
            if self.origin.is_incomplete_unnoted {
                missing::miss(&bound, "it lacked values when the RDB file was saved");
            }
            if self.origin.is_doubted {
                bound.doubt_contents("it was not known to be complete when the RDB file was saved");
            }
        }
        Binding::open(self.path, self.item, self.access, bound)
    }

    pub fn unavailable(self, reason: String, is_wanted: bool) -> Binding {
        let key = self.key.filter(|_| is_wanted);
        Binding::unavailable(self.path, self.item, self.access, self.count, reason, key)
    }

    /// What a key becomes whose file is unavailable. `RESTORE` is refused; but a replica must have the keys of its primary,
    /// and a server that starts must have those that were saved.
    pub fn without_file(self, phase: Phase, reason: String) -> Result<Binding, Damaged> {
        if phase == Phase::Idle && !is_replica() {
            return Err(Damaged(reason));
        }
        if phase == Phase::LoadingFromPrimary {
            store().note_former(&self.path);
        }
        let is_wanted = self.origin.is_out_of_date || is_replica() && phase != Phase::LoadingAof;
        Ok(self.unavailable(reason, is_wanted))
    }
}
