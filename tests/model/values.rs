//! Values of each type as the model knows them, by code of its own: bytes, text and order.

use std::cmp::Ordering;

use support::Reply;
use support::random::Random;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Signed(usize),
    Unsigned(usize),
    Float,
    Double,
    LongDouble,
    /// Of so many bytes.
    Text(usize),
}

/// All types, by names that `MMAP` knows: its own, and some of numpy's.
pub const KINDS: [(&str, Kind); 14] = [
    ("int8", Kind::Signed(1)),
    ("u1", Kind::Unsigned(1)),
    ("int16", Kind::Signed(2)),
    ("uint16", Kind::Unsigned(2)),
    ("<i4", Kind::Signed(4)),
    ("uint32", Kind::Unsigned(4)),
    ("int64", Kind::Signed(8)),
    ("uint64", Kind::Unsigned(8)),
    ("float32", Kind::Float),
    ("float", Kind::Float),
    ("double", Kind::Double),
    ("long_double", Kind::LongDouble),
    ("S4", Kind::Text(4)),
    ("string 7", Kind::Text(7)),
];

/// A `long_double` that is whole and too long for a double is an `Int`, any other a `Float`.
#[derive(Clone, Debug)]
pub enum Value {
    Int(i128),
    Float(f64),
    Text(Vec<u8>),
}

const QUIET: u64 = 1 << 62;
const INTEGER_BIT: u64 = 1 << 63;

impl Value {
    pub fn is_nan(&self) -> bool {
        matches!(self, Value::Float(x) if x.is_nan())
    }

    /// As a double, rounded.
    pub fn number(&self) -> f64 {
        match self {
            Value::Int(n) => *n as f64,
            Value::Float(x) => *x,
            Value::Text(_) => panic!("a string is no number"),
        }
    }

    /// The order in which all comparisons of the module stand; `None` beside NaN.
    pub fn compare(&self, other: &Value) -> Option<Ordering> {
        match (self, other) {
            (Value::Int(a), Value::Int(b)) => Some(a.cmp(b)),
            (Value::Text(a), Value::Text(b)) => Some(a.cmp(b)),
            _ => self.number().partial_cmp(&other.number()),
        }
    }

    /// NaN comes last, as in numpy's `sort`.
    pub fn sorts_before(&self, other: &Value) -> bool {
        match (self.is_nan(), other.is_nan()) {
            (false, false) => self.compare(other) == Some(Ordering::Less),
            (mine, others) => !mine && others,
        }
    }

    /// The same value, signs of zeros included; of NaN there is one.
    fn is(&self, other: &Value) -> bool {
        match (self, other) {
            (Value::Float(a), Value::Float(b)) => {
                a.is_nan() && b.is_nan() || a.to_bits() == b.to_bits()
            }
            (Value::Text(a), Value::Text(b)) => a == b,
            (Value::Int(a), Value::Int(b)) => a == b,
            // A whole long double comes as an integer's digits.
            (Value::Int(n), Value::Float(x)) | (Value::Float(x), Value::Int(n)) => {
                *x == *n as f64 && !(*n == 0 && x.is_sign_negative())
            }
            _ => false,
        }
    }

    /// As [`Self::is`], but 0 and -0 are one.
    fn equals(&self, other: &Value) -> bool {
        self.is(other) || self.compare(other) == Some(Ordering::Equal)
    }
}

impl Kind {
    pub fn size(self) -> usize {
        match self {
            Kind::Signed(size) | Kind::Unsigned(size) | Kind::Text(size) => size,
            Kind::Float => 4,
            Kind::Double => 8,
            Kind::LongDouble => 16,
        }
    }

    pub fn is_text(self) -> bool {
        matches!(self, Kind::Text(_))
    }

    pub fn is_integer(self) -> bool {
        matches!(self, Kind::Signed(_) | Kind::Unsigned(_))
    }

    /// As `VTYPE` says it.
    pub fn name(self) -> String {
        match self {
            Kind::Signed(size) => format!("int{}", 8 * size),
            Kind::Unsigned(size) => format!("uint{}", 8 * size),
            Kind::Float => "float".to_owned(),
            Kind::Double => "double".to_owned(),
            Kind::LongDouble => "long_double".to_owned(),
            Kind::Text(_) => "string".to_owned(),
        }
    }

    pub fn least_and_greatest(self) -> (i128, i128) {
        match self {
            Kind::Signed(size) => (-1 << (8 * size - 1), (1 << (8 * size - 1)) - 1),
            Kind::Unsigned(size) => (0, (1 << (8 * size)) - 1),
            _ => panic!("{self:?} is no integer"),
        }
    }

    pub fn encode(self, value: &Value) -> Vec<u8> {
        let mut bytes = match (self, value) {
            (Kind::Signed(_) | Kind::Unsigned(_), Value::Int(n)) => n.to_le_bytes().to_vec(),
            (Kind::Float, Value::Float(x)) if x.is_nan() => f32::NAN.to_le_bytes().to_vec(),
            (Kind::Float, Value::Float(x)) => (*x as f32).to_le_bytes().to_vec(),
            (Kind::Double, Value::Float(x)) if x.is_nan() => f64::NAN.to_le_bytes().to_vec(),
            (Kind::Double, Value::Float(x)) => x.to_le_bytes().to_vec(),
            (Kind::LongDouble, Value::Int(n)) => {
                extended(*n < 0, n.unsigned_abs() as u64, 0).to_vec()
            }
            (Kind::LongDouble, Value::Float(x)) => extended_of(*x).to_vec(),
            (Kind::Text(_), Value::Text(text)) => text.clone(),
            _ => panic!("{value:?} is none of {self:?}"),
        };
        bytes.resize(self.size(), 0);
        bytes
    }

    pub fn decode(self, bytes: &[u8]) -> Value {
        match self {
            Kind::Signed(size) => {
                let fill = if bytes[size - 1] > 127 { 255 } else { 0 };
                let mut all = [fill; 16];
                all[..size].copy_from_slice(bytes);
                Value::Int(i128::from_le_bytes(all))
            }
            Kind::Unsigned(size) => {
                let mut all = [0; 16];
                all[..size].copy_from_slice(bytes);
                Value::Int(i128::from_le_bytes(all))
            }
            Kind::Float => Value::Float(f32::from_le_bytes(bytes.try_into().unwrap()).into()),
            Kind::Double => Value::Float(f64::from_le_bytes(bytes.try_into().unwrap())),
            Kind::LongDouble => of_extended(bytes),
            Kind::Text(_) => {
                let end = bytes.iter().rposition(|&byte| byte != 0);
                Value::Text(bytes[..end.map_or(0, |end| end + 1)].to_vec())
            }
        }
    }

    /// As an argument.
    pub fn text(self, value: &Value, random: &mut Random) -> Vec<u8> {
        let text = match (self, value) {
            (_, Value::Text(text)) => return text.clone(),
            (_, Value::Int(n)) => n.to_string(),
            (_, Value::Float(x)) if !x.is_finite() => x.to_string(),
            // All its digits: the shortest text would be another long double.
            (Kind::LongDouble, Value::Float(x)) => format!("{x:.20}"),
            (Kind::Float, Value::Float(x)) if random.once_in(2) => format!("{:e}", *x as f32),
            (Kind::Float, Value::Float(x)) => (*x as f32).to_string(),
            (_, Value::Float(x)) if random.once_in(2) => format!("{x:e}"),
            (_, Value::Float(x)) => x.to_string(),
        };
        text.into_bytes()
    }

    /// Any value that text can give. Where all are *tame*, sums and means of floats are exact.
    pub fn random(self, random: &mut Random, tame: bool) -> Value {
        match self {
            Kind::Signed(_) | Kind::Unsigned(_) => {
                let (least, greatest) = self.least_and_greatest();
                Value::Int(match random.below(8) {
                    0 if !tame => *random.pick(&[least, greatest]),
                    1 if !tame => {
                        let range = (greatest - least + 1) as u128;
                        least + (u128::from(random.next()) % range) as i128
                    }
                    2 | 3 => (-(random.below(100) as i128)).max(least),
                    _ => random.below(100) as i128,
                })
            }
            Kind::Text(size) => {
                let len = random.below(size as u64 + 1);
                let any = random.once_in(4) && !tame;
                let byte = |_| match any {
                    true => 1 + random.below(255) as u8,
                    false => b'a' + random.below(4) as u8,
                };
                Value::Text((0..len).map(byte).collect())
            }
            Kind::LongDouble if !tame && random.once_in(16) => {
                let n = random.next() as i64;
                Value::Int(n.into())
            }
            _ if !tame && random.once_in(24) => {
                Value::Float(*random.pick(&[f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0]))
            }
            Kind::Float if !tame && random.once_in(8) => loop {
                let x = f32::from_bits(random.next() as u32);
                if x.is_finite() {
                    break Value::Float(x.into());
                }
            },
            Kind::Double if !tame && random.once_in(8) => loop {
                let x = f64::from_bits(random.next());
                if x.is_finite() {
                    break Value::Float(x);
                }
            },
            _ => {
                let eighths = random.below(1000) as f64 - 300.0;
                // Without this, 0 would sometimes be -0.
                Value::Float(eighths / if random.once_in(2) { 8.0 } else { 1.0 } + 0.0)
            }
        }
    }

    /// Bytes that clients may give as those of a value, and text cannot: NaN with a payload, long doubles with padding.
    pub fn random_bytes(self, random: &mut Random, tame: bool) -> Vec<u8> {
        let mut bytes = self.encode(&self.random(random, tame));
        if !tame && random.once_in(10) {
            match self {
                Kind::Float => bytes[..3].copy_from_slice(&random.next().to_le_bytes()[..3]),
                Kind::Double => bytes[..6].copy_from_slice(&random.next().to_le_bytes()[..6]),
                Kind::LongDouble => bytes[10..].copy_from_slice(&random.next().to_le_bytes()[..6]),
                _ => {}
            }
        }
        bytes
    }

    /// What a reply says; `None` if it is no value of this type.
    fn of_reply(self, reply: &Reply) -> Option<Value> {
        let text = match reply {
            Reply::Int(n) => return self.is_integer().then_some(Value::Int((*n).into())),
            Reply::Bulk(bytes) if self.is_text() => return Some(Value::Text(bytes.clone())),
            Reply::Bulk(bytes) => std::str::from_utf8(bytes).ok()?,
            Reply::Double(text) | Reply::BigNumber(text) => text,
            _ => return None,
        };
        match self {
            // Only what is too large for an integer reply comes as text.
            Kind::Unsigned(8) => text
                .parse()
                .ok()
                .filter(|n| *n > i128::from(i64::MAX))
                .map(Value::Int),
            Kind::Float => text.parse::<f32>().ok().map(|x| Value::Float(x.into())),
            Kind::Double => text.parse().ok().map(Value::Float),
            Kind::LongDouble if text != "-0" && text.parse::<i128>().is_ok() => {
                Some(Value::Int(text.parse().unwrap()))
            }
            Kind::LongDouble => text.parse().ok().map(Value::Float),
            _ => None,
        }
    }

    pub fn reply_is(self, reply: &Reply, value: &Value) -> bool {
        self.of_reply(reply).is_some_and(|found| found.is(value))
    }

    pub fn reply_equals(self, reply: &Reply, value: &Value) -> bool {
        self.of_reply(reply)
            .is_some_and(|found| found.equals(value))
    }
}

/// x87's form of mantissa × 2^exponent, in 16 bytes.
fn extended(negative: bool, mantissa: u64, exponent: i32) -> [u8; 16] {
    let mut bytes = [0; 16];
    let sign = u16::from(negative) << 15;
    let shift = mantissa.leading_zeros().min(63);
    let biased = match mantissa {
        0 => 0,
        _ => (16_383 + 63 + exponent - shift as i32) as u16,
    };
    bytes[..8].copy_from_slice(&(mantissa << shift).to_le_bytes());
    bytes[8..10].copy_from_slice(&(sign | biased).to_le_bytes());
    bytes
}

fn extended_of(x: f64) -> [u8; 16] {
    let bits = x.to_bits();
    let (exponent, fraction) = ((bits >> 52 & 0x7ff) as i32, bits & ((1 << 52) - 1));
    match exponent {
        0x7ff => {
            let mantissa = if x.is_nan() {
                INTEGER_BIT | QUIET
            } else {
                INTEGER_BIT
            };
            let sign = u16::from(x.is_sign_negative() && !x.is_nan()) << 15;
            let mut bytes = [0; 16];
            bytes[..8].copy_from_slice(&mantissa.to_le_bytes());
            bytes[8..10].copy_from_slice(&(sign | 0x7fff).to_le_bytes());
            bytes
        }
        0 => extended(x.is_sign_negative(), fraction, -1074),
        _ => extended(x.is_sign_negative(), fraction | 1 << 52, exponent - 1075),
    }
}

fn of_extended(bytes: &[u8]) -> Value {
    let mantissa = u64::from_le_bytes(bytes[..8].try_into().unwrap());
    let biased = u16::from_le_bytes(bytes[8..10].try_into().unwrap());
    let (negative, biased) = (biased >> 15 == 1, i32::from(biased & 0x7fff));
    if biased == 0x7fff {
        let x = if mantissa << 1 == 0 {
            f64::INFINITY
        } else {
            f64::NAN
        };
        return Value::Float(if negative { -x } else { x });
    }
    let exponent = biased - 16_383 - 63;
    let exact = mantissa == 0 || mantissa.trailing_zeros() >= 11;
    if !exact {
        assert!((-63..=0).contains(&exponent), "{bytes:?}");
        let whole = i128::from(mantissa) >> -exponent;
        assert_eq!(whole << -exponent, i128::from(mantissa), "{bytes:?}");
        return Value::Int(if negative { -whole } else { whole });
    }
    let half = exponent / 2;
    let x = mantissa as f64 * 2_f64.powi(half) * 2_f64.powi(exponent - half);
    Value::Float(if negative { -x } else { x })
}
