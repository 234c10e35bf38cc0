//! Sends each command of table.json with redis-rs and compares the replies.
//!
//!     cargo run --release --example client -- port 2|3 [tag]        (the version of RESP)
//!
//! With a hash tag it is a Cluster's client: it sends the rows of cluster.json, once for each line that it gets, and
//! says when it has.

use std::process::ExitCode;

use redis::cluster::ClusterClient;
use redis::{ConnectionLike, RedisError, Value};
use serde_json::Value as Json;

const TABLE: &str = include_str!("table.json");
const CLUSTER: &str = include_str!("cluster.json");

fn matches(expected: &Json, reply: &Value, protocol: u32) -> bool {
    match (expected, reply) {
        (Json::Null, Value::Nil) => true,
        (Json::Number(number), Value::Int(reply)) => number.as_i64() == Some(*reply),
        (Json::String(text), Value::BulkString(reply)) => latin1(text) == *reply,
        (Json::String(text), Value::SimpleString(reply)) => text == reply,
        (Json::String(text), Value::Okay) => text == "OK",
        (Json::Array(list), Value::Array(replies)) => {
            list.len() == replies.len()
                && list
                    .iter()
                    .zip(replies)
                    .all(|(expected, reply)| matches(expected, reply, protocol))
        }
        (Json::Object(object), reply) => object
            .iter()
            .all(|(kind, value)| is_of_kind(kind, value, reply, protocol)),
        _ => false,
    }
}

fn is_of_kind(kind: &str, value: &Json, reply: &Value, protocol: u32) -> bool {
    match (kind, reply) {
        ("any", _) => true,
        ("double" | "big", Value::BulkString(reply)) => {
            protocol == 2 && value.as_str().map(latin1).as_ref() == Some(reply)
        }
        ("double", Value::Double(reply)) => {
            let value: f64 = value.as_str().unwrap().parse().unwrap();
            protocol == 3 && (value == *reply || value.is_nan() && reply.is_nan())
        }
        ("big", Value::BigNumber(reply)) => {
            protocol == 3 && value.as_str() == Some(&String::from_utf8_lossy(reply))
        }
        ("map", Value::Array(flat)) => {
            let pairs = flat.chunks_exact(2).map(|pair| (&pair[0], &pair[1]));
            protocol == 2 && is_map(value, pairs, protocol)
        }
        ("map", Value::Map(pairs)) => {
            let pairs = pairs.iter().map(|(name, value)| (name, value));
            protocol == 3 && is_map(value, pairs, protocol)
        }
        _ => false,
    }
}

fn is_map<'a>(
    expected: &Json,
    pairs: impl ExactSizeIterator<Item = (&'a Value, &'a Value)>,
    protocol: u32,
) -> bool {
    let expected = expected.as_object().unwrap();
    pairs.len() == expected.len()
        && pairs.into_iter().all(|(name, value)| {
            let Value::BulkString(name) = name else {
                return false;
            };
            expected
                .get(&*String::from_utf8_lossy(name))
                .is_some_and(|expected| matches(expected, value, protocol))
        })
}

/// Each letter of the table stands for a byte.
fn latin1(text: &str) -> Vec<u8> {
    text.chars()
        .map(|letter| u8::try_from(letter).expect("a letter of the table is a byte"))
        .collect()
}

fn is_as_expected(expected: &Json, reply: &Result<Value, RedisError>, protocol: u32) -> bool {
    match reply {
        Ok(reply) => matches(expected, reply, protocol),
        Err(error) => expected["error"]
            .as_str()
            .is_some_and(|text| error.to_string().contains(text)),
    }
}

fn rows_of(table: &str, protocol: u32, tag: &str) -> Vec<Json> {
    let table = table
        .replace("{run}", &format!("rust-{protocol}"))
        .replace("{tag}", &format!("{{{tag}}}"));
    serde_json::from_str(&table).expect("a table is JSON")
}

fn failures_of(connection: &mut impl ConnectionLike, rows: &[Json], protocol: u32) -> u32 {
    let mut failures = 0;
    for row in rows {
        let mut command = redis::Cmd::new();
        for word in row["command"].as_array().unwrap() {
            command.arg(latin1(word.as_str().unwrap()));
        }
        let reply = command.query::<Value>(connection);
        if !is_as_expected(&row["reply"], &reply, protocol) {
            failures += 1;
            println!(
                "{}\n  expected {}\n  got      {reply:?}",
                row["command"], row["reply"]
            );
        }
    }
    failures
}

/// What was done, and how many rows failed.
fn on_cluster(url: String, protocol: u32, tag: &str) -> (String, u32) {
    let mut connection = ClusterClient::new(vec![url])
        .and_then(|client| client.get_connection())
        .expect("a connection to the cluster");
    let rows = rows_of(CLUSTER, protocol, tag);
    let (mut rounds, mut failures) = (0, 0);
    for _ in std::io::stdin().lines() {
        failures += failures_of(&mut connection, &rows, protocol);
        rounds += 1;
        println!("round");
    }
    (format!("a cluster, {rounds} rounds"), failures)
}

/// What was done, and how many rows failed.
fn on_one_server(url: String, protocol: u32) -> (String, u32) {
    let mut connection = redis::Client::open(url)
        .and_then(|client| client.get_connection())
        .expect("a connection to the server");
    let rows = rows_of(TABLE, protocol, "");
    let failures = failures_of(&mut connection, &rows, protocol);
    (format!("{} rows", rows.len()), failures)
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [port, protocol, tag @ ..] = &args[..] else {
        panic!("usage: client port 2|3 [tag]");
    };
    let url = format!("redis://127.0.0.1:{port}/?protocol=resp{protocol}");
    let version = protocol.parse().expect("2 or 3");
    let (done, failures) = match tag {
        [] => on_one_server(url, version),
        [tag, ..] => on_cluster(url, version, tag),
    };
    println!("redis-rs, RESP{protocol}: {done}, {failures} failures");
    ExitCode::from(u8::from(failures > 0))
}
