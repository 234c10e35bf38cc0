//! The commands of the module for redis-rs, as a trait that every connection has; values are slices of numbers.
//!
//! ```ignore
//! let mut connection = redis::Client::open("redis://localhost")?.get_connection()?;
//! connection.vaddraw("prices", &[9.99, 12.5])?;
//! let values: Vec<f64> = connection.vgetraw("prices", 0, -1)?;
//! ```
//!
//! Copy this file; it needs the crates `redis` and `bytemuck`. Run as a program it tests itself:
//!
//!     cargo run --release --example mmap_commands -- port 2|3        (the version of RESP)

use bytemuck::Pod;
use redis::{Cmd, ConnectionLike, FromRedisValue, RedisResult, ToRedisArgs, cmd};

/// A number that an array can hold, whose bytes in memory are those in the file: this machine is little-endian.
pub trait Number: Pod + ToRedisArgs + FromRedisValue {
    /// The module's name of the type.
    const TYPE: &'static str;
}

macro_rules! numbers {
    ($($rust:ty = $name:literal),*) => { $(impl Number for $rust { const TYPE: &'static str = $name; })* };
}
numbers!(
    i8 = "int8",
    u8 = "uint8",
    i16 = "int16",
    u16 = "uint16",
    i32 = "int32",
    u32 = "uint32",
    i64 = "int64",
    u64 = "uint64",
    f32 = "float",
    f64 = "double"
);

fn of(name: &str, key: impl ToRedisArgs) -> Cmd {
    let mut command = cmd(name);
    command.arg(key);
    command
}

/// The commands. Ranges include both ends; a negative index counts from the end. An append is not safe to repeat when a
/// connection broke: it may have been carried out.
pub trait MmapCommands: ConnectionLike + Sized {
    /// Binds a file of such numbers to a key, writable, and creates it if it is missing; the number of values.
    fn mmap<T: Number>(&mut self, key: impl ToRedisArgs, path: &str) -> RedisResult<u64> {
        of("MMAP", key)
            .arg(path)
            .arg(T::TYPE)
            .arg("WRITABLE")
            .query(self)
    }

    /// Appends values that have the type of the array; their number.
    fn vaddraw<T: Number>(&mut self, key: impl ToRedisArgs, values: &[T]) -> RedisResult<u64> {
        of("VADDRAW", key)
            .arg(bytemuck::cast_slice::<T, u8>(values))
            .query(self)
    }

    /// The values of a range. `T` is the type of the array.
    fn vgetraw<T: Number>(
        &mut self,
        key: impl ToRedisArgs,
        start: i64,
        stop: i64,
    ) -> RedisResult<Vec<T>> {
        let bytes: Vec<u8> = of("VGETRAW", key).arg(start).arg(stop).query(self)?;
        // The bytes need not lie where a `T` may.
        Ok(bytes
            .chunks_exact(size_of::<T>())
            .map(bytemuck::pod_read_unaligned)
            .collect())
    }

    /// Sets values from an index on; their number.
    fn vsetraw<T: Number>(
        &mut self,
        key: impl ToRedisArgs,
        index: u64,
        values: &[T],
    ) -> RedisResult<u64> {
        of("VSETRAW", key)
            .arg(index)
            .arg(bytemuck::cast_slice::<T, u8>(values))
            .query(self)
    }

    /// The value at an index.
    fn vget<T: Number>(&mut self, key: impl ToRedisArgs, index: i64) -> RedisResult<Option<T>> {
        of("VGET", key).arg(index).query(self)
    }

    /// The values at the indices.
    fn vmget<T: Number>(
        &mut self,
        key: impl ToRedisArgs,
        indices: &[i64],
    ) -> RedisResult<Vec<Option<T>>> {
        of("VMGET", key).arg(indices).query(self)
    }

    /// The number of values.
    fn vsize(&mut self, key: impl ToRedisArgs) -> RedisResult<u64> {
        of("VSIZE", key).query(self)
    }

    /// Sum, mean, least and greatest value and the like of a range; `None` where there are no values.
    fn vagg(
        &mut self,
        key: impl ToRedisArgs,
        start: i64,
        stop: i64,
        ops: &[&str],
    ) -> RedisResult<Vec<Option<f64>>> {
        of("VAGG", key).arg(start).arg(stop).arg(ops).query(self)
    }

    /// The indices of values that fulfil a comparison, `limit` at most.
    fn vfind<T: Number>(
        &mut self,
        key: impl ToRedisArgs,
        comparison: &str,
        value: T,
        limit: u64,
    ) -> RedisResult<Vec<u64>> {
        of("VFIND", key)
            .arg(0)
            .arg(-1)
            .arg(comparison)
            .arg(value)
            .arg("LIMIT")
            .arg(limit)
            .query(self)
    }

    /// Removes all values; their number.
    fn vclear(&mut self, key: impl ToRedisArgs) -> RedisResult<u64> {
        of("VCLEAR", key).query(self)
    }
}

impl<C: ConnectionLike> MmapCommands for C {}

fn main() -> RedisResult<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [port, protocol] = &args[..] else {
        panic!("usage: mmap_commands port 2|3");
    };
    let url = format!("redis://127.0.0.1:{port}/?protocol=resp{protocol}");
    let mut connection = redis::Client::open(url)?.get_connection()?;
    let key = format!("mmap-commands-{protocol}");

    connection.mmap::<f64>(&key, &key)?;
    connection.vclear(&key)?;
    let values = [0.1, -0.0, f64::INFINITY, 1e300];
    assert_eq!(connection.vaddraw(&key, &values)?, 4);
    assert_eq!(connection.vgetraw::<f64>(&key, 0, -1)?, values);
    assert_eq!(connection.vsetraw(&key, 1, &[2.5, 7.0])?, 2);
    assert_eq!(connection.vget(&key, 0)?, Some(0.1));
    assert_eq!(connection.vget::<f64>(&key, 99)?, None);
    assert_eq!(
        connection.vmget(&key, &[3, 99, 2])?,
        [Some(1e300), None, Some(7.0)]
    );
    assert_eq!(
        connection.vagg(&key, 1, 2, &["COUNT", "SUM"])?,
        [Some(2.0), Some(9.5)]
    );
    assert_eq!(connection.vfind(&key, ">", 2.0, 2)?, [1, 2]);
    assert_eq!(connection.vsize(&key)?, 4);
    let error = connection.vaddraw(&key, &[1_u8]).unwrap_err();
    assert!(error.to_string().contains("bytes long"), "{error}");
    connection.vclear(&key)?;
    of("DEL", &key).exec(&mut connection)?;

    connection.mmap::<u64>(&key, &format!("{key}.u64"))?;
    connection.vaddraw(&key, &[u64::MAX, 5])?;
    assert_eq!(connection.vgetraw::<u64>(&key, 0, -1)?, [u64::MAX, 5]);
    assert_eq!(connection.vget::<u64>(&key, 1)?, Some(5));
    connection.vclear(&key)?;
    of("DEL", &key).exec(&mut connection)?;
    println!("mmap_commands.rs, RESP{protocol}: as expected");
    Ok(())
}
