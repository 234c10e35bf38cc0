//! Load at a steady rate: sends commands when they are due, whether or not replies have come, and tells how late the
//! replies were. `benches/steady` runs it.
//!
//! ```text
//! steady_load PORT CONNECTIONS COMMANDS_PER_SECOND SECONDS COMMAND [ARGUMENT ...]
//! ```
//!
//! One thread sends, each millisecond on every connection what is due by then; one receives. A latency counts from the
//! moment at which the command was due, so that a server that stalls is late for all that was due during the stall (there
//! is no "coordinated omission"). Replies must be of one line. It prints JSON: how many commands were answered; pairs of a
//! latency in microseconds and how many had it (to three digits); and for each second the greatest latency of the
//! commands that were due in it.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use serde_json::json;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

const USAGE: &str =
    "usage: steady_load PORT CONNECTIONS COMMANDS_PER_SECOND SECONDS COMMAND [ARGUMENT ...]";
const TICK: Duration = Duration::from_millis(1);
/// For how long the server may say nothing while replies are due.
const PATIENCE: Duration = Duration::from_secs(60);
/// The longest latency that can be told, in microseconds: an hour.
const LONGEST: u64 = 3_600_000_000;
/// How long the sender waits when a connection takes no more.
const FULL: Duration = Duration::from_micros(100);

/// Which commands are due when. Command `n` goes out on connection `n % connections`.
#[derive(Clone, Copy)]
struct Schedule {
    connections: u64,
    rate: u64,
    commands: u64,
}

impl Schedule {
    /// Milliseconds from the start at which a command is due.
    fn due(&self, command: u64) -> u64 {
        command * 1000 / self.rate
    }

    /// Number of commands that are due after so many milliseconds.
    fn due_by(&self, milliseconds: u64) -> u64 {
        ((milliseconds + 1) * self.rate)
            .div_ceil(1000)
            .min(self.commands)
    }

    /// How many of the first `commands` go out on a connection.
    fn share(&self, commands: u64, connection: u64) -> u64 {
        (commands + self.connections - 1 - connection) / self.connections
    }

    fn seconds(&self) -> usize {
        self.commands.div_ceil(self.rate) as usize
    }
}

/// Latencies in microseconds.
struct Latencies {
    all: Histogram<u64>,
    worst: Vec<u64>,
}

impl Latencies {
    fn record(&mut self, due: u64, now: Duration) -> Result<()> {
        let latency = now.saturating_sub(Duration::from_millis(due));
        let microseconds = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.all.record(microseconds)?;
        let worst = &mut self.worst[(due / 1000) as usize];
        *worst = microseconds.max(*worst);
        Ok(())
    }

    fn show(&self) -> String {
        let pairs: Vec<_> = self
            .all
            .iter_recorded()
            .map(|step| (step.value_iterated_to(), step.count_at_value()))
            .collect();
        json!({ "commands": self.all.len(), "latencies": pairs, "worst": self.worst }).to_string()
    }
}

/// Sends what is due until all is sent.
fn send(
    schedule: Schedule,
    start: Instant,
    sockets: Vec<std::net::TcpStream>,
    command: &[u8],
) -> Result<()> {
    let most = schedule.due_by(0).div_ceil(schedule.connections) + 1;
    let mut batch = command.repeat(most as usize);
    let mut sent = 0;
    for tick in 0.. {
        let due = schedule.due_by(tick);
        for (connection, mut socket) in sockets.iter().enumerate() {
            let connection = connection as u64;
            let count = schedule.share(due, connection) - schedule.share(sent, connection);
            let bytes = count as usize * command.len();
            while batch.len() < bytes {
                batch.extend_from_slice(command);
            }
            write_all(&mut socket, &batch[..bytes])?;
        }
        sent = due;
        if sent == schedule.commands {
            break;
        }
        let next = start + TICK * u32::try_from(tick + 1)?;
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    Ok(())
}

/// The socket does not block, as the receiver has the same one.
fn write_all(socket: &mut &std::net::TcpStream, mut bytes: &[u8]) -> Result<()> {
    let begin = Instant::now();
    while !bytes.is_empty() {
        match socket.write(bytes) {
            Ok(0) => return Err("the server closed the connection".into()),
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                if begin.elapsed() > PATIENCE {
                    return Err("the server takes no more commands".into());
                }
                thread::sleep(FULL);
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Takes replies until there is one for each command.
fn receive(
    schedule: Schedule,
    start: Instant,
    poll: &mut Poll,
    mut sockets: Vec<TcpStream>,
) -> Result<Latencies> {
    let mut latencies = Latencies {
        all: Histogram::new_with_max(LONGEST, 3)?,
        worst: vec![0; schedule.seconds()],
    };
    let mut answered = vec![0; sockets.len()];
    let mut missing = schedule.commands;
    let mut events = Events::with_capacity(sockets.len());
    let mut buffer = vec![0; 1 << 16];
    while missing > 0 {
        if let Err(error) = poll.poll(&mut events, Some(PATIENCE)) {
            if error.kind() == ErrorKind::Interrupted {
                continue;
            }
            return Err(error.into());
        }
        if events.is_empty() {
            return Err(
                format!("the server does not answer: {missing} replies are missing").into(),
            );
        }
        for event in &events {
            let connection = event.token().0;
            while let Some(bytes) = read(&mut sockets[connection], &mut buffer)? {
                let now = start.elapsed();
                for _ in 0..replies(bytes)? {
                    let command = answered[connection] * schedule.connections + connection as u64;
                    latencies.record(schedule.due(command), now)?;
                    answered[connection] += 1;
                    missing -= 1;
                }
            }
        }
    }
    Ok(latencies)
}

/// What has come; none if nothing has.
fn read<'a>(socket: &mut TcpStream, buffer: &'a mut [u8]) -> Result<Option<&'a [u8]>> {
    loop {
        match socket.read(buffer) {
            Ok(0) => return Err("the server closed the connection".into()),
            Ok(read) => return Ok(Some(&buffer[..read])),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Number of lines that end in `bytes`.
fn replies(bytes: &[u8]) -> Result<usize> {
    if bytes.contains(&b'-') {
        let text = String::from_utf8_lossy(&bytes[..bytes.len().min(200)]);
        return Err(format!("the server answered: {text}").into());
    }
    Ok(bytes.iter().filter(|&&byte| byte == b'\n').count())
}

fn encode(command: &[String]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", command.len()).into_bytes();
    for part in command {
        bytes.extend_from_slice(format!("${}\r\n{part}\r\n", part.len()).as_bytes());
    }
    bytes
}

/// Connections, once for the sender and once for the receiver.
fn connect(
    address: SocketAddr,
    count: u64,
    poll: &Poll,
) -> Result<(Vec<std::net::TcpStream>, Vec<TcpStream>)> {
    let mut pairs = (Vec::new(), Vec::new());
    for token in 0..count as usize {
        let sender = std::net::TcpStream::connect(address)?;
        sender.set_nodelay(true)?;
        sender.set_nonblocking(true)?;
        let mut receiver = TcpStream::from_std(sender.try_clone()?);
        poll.registry()
            .register(&mut receiver, Token(token), Interest::READABLE)?;
        pairs.0.push(sender);
        pairs.1.push(receiver);
    }
    Ok(pairs)
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [port, connections, rate, seconds, command @ ..] = arguments.as_slice() else {
        return Err(USAGE.into());
    };
    let (connections, rate, seconds): (u64, u64, u64) =
        (connections.parse()?, rate.parse()?, seconds.parse()?);
    if connections == 0 || rate == 0 || seconds == 0 || command.is_empty() {
        return Err(USAGE.into());
    }
    let schedule = Schedule {
        connections,
        rate,
        commands: rate * seconds,
    };
    let command = encode(command);
    let mut poll = Poll::new()?;
    let address = SocketAddr::from(([127, 0, 0, 1], port.parse()?));
    let (senders, receivers) = connect(address, connections, &poll)?;
    let start = Instant::now();
    let sender = thread::Builder::new()
        .name("send".to_owned())
        .spawn(move || send(schedule, start, senders, &command))?;
    // An error ends the program, and so the sender.
    let latencies = receive(schedule, start, &mut poll, receivers)?;
    sender.join().map_err(|_| "the sender panicked")??;
    println!("{}", latencies.show());
    Ok(())
}
