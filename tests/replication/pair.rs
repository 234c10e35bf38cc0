//! A primary and its replica, each with a directory of its own, and how they are compared.

use std::collections::BTreeSet;

use support::{Reply, Server, Setup, wait_until};

pub struct Pair {
    pub primary: Server,
    pub replica: Server,
}

impl Pair {
    #[track_caller]
    pub fn start() -> Pair {
        Pair::of(Server::setup(), Server::setup())
    }

    #[track_caller]
    pub fn of(primary: Setup, replica: Setup) -> Pair {
        let [primary, replica] =
            [primary, replica].map(|setup| setup.config("repl-diskless-sync-delay", "0").start());
        let pair = Pair { primary, replica };
        pair.connect();
        pair
    }

    /// Makes the one a replica of the other, and waits until it is.
    #[track_caller]
    pub fn connect(&self) {
        follow(&self.replica, &self.primary);
    }

    /// Waits until the replica has all that the primary sent, and compares all keys and the files of arrays.
    #[track_caller]
    pub fn assert_same(&self) {
        assert_same(&self.primary, &self.replica);
    }
}

/// Makes a server a replica of another, and waits until it is one.
#[track_caller]
pub fn follow(replica: &Server, primary: &Server) {
    assert_eq!(
        replica.say(&format!("REPLICAOF 127.0.0.1 {}", primary.port())),
        "OK"
    );
    wait_until("the replica follows", || {
        replica.info("replication", "master_link_status") == "up"
    });
}

/// Starts a server that has ended as a replica of another.
#[track_caller]
pub fn start_again_as_replica_of(server: &mut Server, primary: &Server) {
    server.start_again_with("replicaof", &format!("127.0.0.1 {}", primary.port()));
}

/// Waits until a replica knows that what it gets now is newer than what it has.
#[track_caller]
pub fn knows_it_has_caught_up(replica: &Server) {
    wait_until("the replica knows that it has caught up", || {
        replica.stat("catching_up") == 0
    });
}

/// Waits until a replica has all that its primary sent.
#[track_caller]
pub fn catch_up(primary: &Server, replica: &Server) {
    wait_until("the replica has caught up", || {
        replica.info("replication", "master_link_status") == "up"
            && primary.info("replication", "master_repl_offset")
                == replica.info("replication", "slave_repl_offset")
    });
}

/// Waits until a replica has all that its primary sent, and compares the arrays of all databases and their files.
#[track_caller]
pub fn assert_same(primary: &Server, replica: &Server) {
    catch_up(primary, replica);
    let mut databases = databases(primary);
    databases.extend(self::databases(replica));
    let select = |database: &str| {
        for server in [primary, replica] {
            assert_eq!(server.say(&format!("SELECT {database}")), "OK");
        }
    };
    for database in &databases {
        select(database);
        assert_same_database(primary, replica);
    }
    select("0");
}

/// The databases that have keys, as `INFO keyspace` lists them: `db0:keys=1,expires=0,avg_ttl=0`.
fn databases(server: &Server) -> BTreeSet<String> {
    let info = server.ask("INFO keyspace").text();
    info.lines()
        .filter_map(|line| Some(line.strip_prefix("db")?.split_once(':')?.0.to_owned()))
        .collect()
}

#[track_caller]
fn assert_same_database(primary: &Server, replica: &Server) {
    let arrays = arrays(primary);
    let mut waited_for = None;
    wait_until("no array of the replica waits for values", || {
        catch_up(primary, replica);
        let error = arrays
            .iter()
            .map(|key| replica.ask(&format!("VSIZE {key}")))
            .find(Reply::is_error);
        // What a test that fails waited for is in its output.
        if let Some(error) = &error
            && waited_for.as_ref() != Some(error)
        {
            println!("{error}");
            waited_for = Some(error.clone());
        }
        error.is_none()
    });
    assert_eq!(self::arrays(replica), arrays);
    for key in &arrays {
        let ask = |server: &Server, command: &str| server.say(&format!("{command} {key}"));
        // What was changed in the background is sent by and by.
        let what = format!("primary and replica hold the same values of {key}");
        wait_until(&what, || {
            catch_up(primary, replica);
            ask(replica, "DEBUG DIGEST-VALUE") == ask(primary, "DEBUG DIGEST-VALUE")
        });
        for command in ["VSIZE", "VTYPE", "VFILEPATH", "PEXPIRETIME"] {
            assert_eq!(
                ask(replica, command),
                ask(primary, command),
                "{command} {key}"
            );
        }
        let path = ask(primary, "VFILEPATH");
        for server in [primary, replica] {
            assert_eq!(ask(server, "VSYNC"), "OK", "{key}");
        }
        assert!(
            primary.read(&path) == replica.read(&path),
            "the files '{path}' of {key} differ"
        );
    }
}

/// The keys of arrays in the database that is selected, the first unless another was.
#[track_caller]
pub fn arrays(server: &Server) -> Vec<String> {
    let reply = server.ask("SCAN 0 COUNT 10000 TYPE mmaparray");
    let mut keys: Vec<String> = reply.items()[1]
        .clone()
        .items()
        .into_iter()
        .map(|key| key.text())
        .collect();
    keys.sort();
    keys
}
