//! Sends each command of table.json with redis-rs and compares the replies.
//!
//! usage: client port 2|3        (the version of RESP)

use std::process::ExitCode;

use redis::{RedisError, Value};
use serde_json::Value as Json;

const TABLE: &str = include_str!("table.json");

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

fn main() -> ExitCode {
    let args: Vec<u32> = std::env::args()
        .skip(1)
        .map(|word| word.parse().expect("a port and 2 or 3"))
        .collect();
    let [port, protocol] = args[..] else {
        panic!("usage: client port 2|3");
    };
    let url = format!("redis://127.0.0.1:{port}/?protocol=resp{protocol}");
    let mut connection = redis::Client::open(url)
        .and_then(|client| client.get_connection())
        .expect("a connection to the server");

    let table = TABLE.replace("{run}", &format!("rust-{protocol}"));
    let rows: Vec<Json> = serde_json::from_str(&table).expect("table.json is JSON");
    let mut failures = 0;
    for row in &rows {
        let words: Vec<_> = row["command"].as_array().unwrap().iter().collect();
        let words = words.iter().map(|word| latin1(word.as_str().unwrap()));
        let mut command = redis::Cmd::new();
        for word in words {
            command.arg(word);
        }
        let reply = command.query::<Value>(&mut connection);
        if !is_as_expected(&row["reply"], &reply, protocol) {
            failures += 1;
            println!(
                "{}\n  expected {}\n  got      {reply:?}",
                row["command"], row["reply"]
            );
        }
    }
    println!(
        "redis-rs, RESP{protocol}: {} rows, {failures} failures",
        rows.len()
    );
    ExitCode::from(u8::from(failures > 0))
}
