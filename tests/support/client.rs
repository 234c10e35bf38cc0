use std::collections::HashMap;
use std::fmt;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// A reply with the distinctions that RESP2 and RESP3 make and client libraries blur.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    Status(String),
    Error(String),
    Int(i64),
    Bulk(Vec<u8>),
    Nil,
    /// RESP3, as text.
    Double(String),
    /// RESP3, as text.
    BigNumber(String),
    Bool(bool),
    /// Arrays, sets and (flattened) maps.
    Array(Vec<Reply>),
}

impl Reply {
    #[track_caller]
    pub fn items(self) -> Vec<Reply> {
        match self {
            Reply::Array(items) => items,
            other => panic!("expected an array, got {other}"),
        }
    }

    /// The pairs of a map, which is an array of twice as many in RESP2.
    #[track_caller]
    pub fn pairs(self) -> HashMap<String, Reply> {
        let mut items = self.items().into_iter();
        let mut pairs = HashMap::new();
        while let (Some(name), Some(value)) = (items.next(), items.next()) {
            let name = match name {
                Reply::Status(name) => name,
                other => other.text(),
            };
            pairs.insert(name, value);
        }
        pairs
    }

    #[track_caller]
    pub fn bytes(self) -> Vec<u8> {
        match self {
            Reply::Bulk(bytes) => bytes,
            other => panic!("expected a bulk string, got {other}"),
        }
    }

    #[track_caller]
    pub fn text(self) -> String {
        String::from_utf8(self.bytes()).expect("the reply is UTF-8")
    }

    #[track_caller]
    pub fn int(self) -> i64 {
        match self {
            Reply::Int(n) => n,
            other => panic!("expected an integer, got {other}"),
        }
    }

    #[track_caller]
    pub fn error(self) -> String {
        match self {
            Reply::Error(text) => text,
            other => panic!("expected an error, got {other}"),
        }
    }

    pub fn is_error(&self) -> bool {
        matches!(self, Reply::Error(_))
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reply::Status(text) => f.write_str(text),
            Reply::Error(text) => write!(f, "(error) {text}"),
            Reply::Int(n) => write!(f, "(integer) {n}"),
            Reply::Bulk(bytes) => write!(f, "{}", bytes.escape_ascii()),
            Reply::Nil => f.write_str("(nil)"),
            Reply::Double(text) => write!(f, "(double) {text}"),
            Reply::BigNumber(text) => write!(f, "(big number) {text}"),
            Reply::Bool(b) => write!(f, "({b})"),
            Reply::Array(items) => {
                f.write_str("[")?;
                for (i, item) in items.iter().enumerate() {
                    if i > 0 {
                        f.write_str(", ")?;
                    }
                    item.fmt(f)?;
                }
                f.write_str("]")
            }
        }
    }
}

/// How long a client waits for a reply.
const PATIENCE: Duration = Duration::from_secs(300);

pub struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    pub fn try_connect(port: u16) -> std::io::Result<Client> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Client {
            stream: BufReader::with_capacity(1 << 16, stream),
        })
    }

    /// Waits for replies for another time than a test has by default.
    pub fn set_patience(&mut self, patience: Option<Duration>) {
        let patience = patience.unwrap_or(PATIENCE);
        self.stream
            .get_ref()
            .set_read_timeout(Some(patience))
            .unwrap();
    }

    /// Switches to RESP3.
    pub fn resp3(mut self) -> Client {
        let reply = self.run(&["HELLO", "3"]);
        assert!(matches!(reply, Reply::Array(_)), "HELLO 3: {reply}");
        self
    }

    pub fn encode(buffer: &mut Vec<u8>, args: &[impl AsRef<[u8]>]) {
        write!(buffer, "*{}\r\n", args.len()).unwrap();
        for arg in args {
            let arg = arg.as_ref();
            write!(buffer, "${}\r\n", arg.len()).unwrap();
            buffer.extend_from_slice(arg);
            buffer.extend_from_slice(b"\r\n");
        }
    }

    pub fn try_send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    #[track_caller]
    pub fn send(&mut self, args: &[impl AsRef<[u8]>]) {
        let mut buffer = Vec::new();
        Client::encode(&mut buffer, args);
        self.try_send(&buffer)
            .expect("the server takes the command");
    }

    #[track_caller]
    pub fn receive(&mut self) -> Reply {
        self.try_receive().expect("the server answers")
    }

    pub fn try_receive(&mut self) -> std::io::Result<Reply> {
        let mut line = Vec::new();
        self.stream.read_until(b'\n', &mut line)?;
        if !line.ends_with(b"\r\n") {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        line.truncate(line.len() - 2);
        let rest = String::from_utf8_lossy(&line[1..]).into_owned();
        let length = |text: &str| text.parse::<i64>().expect("a length");
        Ok(match line[0] {
            b'+' => Reply::Status(rest),
            b'-' => Reply::Error(rest),
            b':' => Reply::Int(length(&rest)),
            b',' => Reply::Double(rest),
            b'(' => Reply::BigNumber(rest),
            b'#' => Reply::Bool(rest == "t"),
            b'_' => Reply::Nil,
            b'$' | b'=' | b'!' => match usize::try_from(length(&rest)) {
                Err(_) => Reply::Nil,
                Ok(n) => {
                    let mut bytes = vec![0; n + 2];
                    self.stream.read_exact(&mut bytes)?;
                    bytes.truncate(n);
                    match line[0] {
                        b'!' => Reply::Error(String::from_utf8_lossy(&bytes).into_owned()),
                        b'=' => Reply::Bulk(bytes[4..].to_vec()),
                        _ => Reply::Bulk(bytes),
                    }
                }
            },
            b'*' | b'~' | b'>' | b'%' => match usize::try_from(length(&rest)) {
                Err(_) => Reply::Nil,
                Ok(n) => {
                    let n = if line[0] == b'%' { 2 * n } else { n };
                    Reply::Array(
                        (0..n)
                            .map(|_| self.try_receive())
                            .collect::<Result<_, _>>()?,
                    )
                }
            },
            other => panic!("not a reply: {}{rest}", char::from(other)),
        })
    }

    #[track_caller]
    pub fn run(&mut self, args: &[impl AsRef<[u8]>]) -> Reply {
        self.send(args);
        self.receive()
    }

    /// Runs a command given as words, and shows the reply much as `redis-cli` does.
    #[track_caller]
    pub fn say(&mut self, command: &str) -> String {
        self.ask(command).to_string()
    }

    #[track_caller]
    pub fn ask(&mut self, command: &str) -> Reply {
        self.run(&command.split_whitespace().collect::<Vec<_>>())
    }

    #[track_caller]
    pub fn int(&mut self, command: &str) -> i64 {
        self.ask(command).int()
    }

    #[track_caller]
    pub fn error(&mut self, command: &str) -> String {
        match self.ask(command) {
            Reply::Error(text) => text,
            other => panic!("{command}: expected an error, got {other}"),
        }
    }

    /// Sends all commands before it reads the first reply.
    #[track_caller]
    pub fn pipeline<A: AsRef<[u8]>>(&mut self, commands: &[Vec<A>]) -> Vec<Reply> {
        let mut buffer = Vec::new();
        for command in commands {
            Client::encode(&mut buffer, command);
        }
        self.try_send(&buffer)
            .expect("the server takes the commands");
        commands.iter().map(|_| self.receive()).collect()
    }

    /// One pipeline of `VPUSH key i` for each i; every reply must be 1.
    #[track_caller]
    pub fn push_one_by_one(&mut self, key: &str, numbers: std::ops::Range<u64>) {
        let mut buffer = Vec::new();
        for i in numbers.clone() {
            Client::encode(&mut buffer, &["VPUSH", key, &i.to_string()]);
        }
        self.try_send(&buffer)
            .expect("the server takes the commands");
        for i in numbers {
            assert_eq!(self.receive(), Reply::Int(1), "VPUSH {key} {i}");
        }
    }
}
