//! Small clients by hand, good ones and each kind of bad one.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use kaa_tests::sniffer::{Packet, Sniffer};
use serde_json::{Value, json};

/// What a client does, and what it does not.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Habits {
    /// Between dials.
    pub(crate) pause: Duration,
    /// It sends the stored result when a command comes again.
    pub(crate) remembers_results: bool,
    /// It takes only the answer whose topic is that of its request.
    pub(crate) compares_whole: bool,
    /// It sends PINGREQ.
    pub(crate) asks_whether_it_is_there: bool,
    /// It hangs up when nothing comes for longer than the keep alive.
    pub(crate) notices_dead_links: bool,
    /// It sends samples.
    pub(crate) measures: bool,
    /// Each request has an ID of its own.
    pub(crate) numbers_requests: bool,
    pub(crate) waits_for_answers: bool,
}

pub(crate) const GOOD: Habits = Habits {
    pause: Duration::from_secs(1),
    remembers_results: true,
    compares_whole: true,
    asks_whether_it_is_there: true,
    notices_dead_links: true,
    measures: true,
    numbers_requests: true,
    waits_for_answers: true,
};

pub(crate) const BAD: Habits = Habits {
    pause: Duration::ZERO,
    remembers_results: false,
    compares_whole: false,
    asks_whether_it_is_there: false,
    notices_dead_links: false,
    measures: true,
    numbers_requests: false,
    waits_for_answers: false,
};

/// Seconds.
const KEEP_ALIVE: u8 = 2;

/// Between requests.
const PERIOD: Duration = Duration::from_millis(200);

/// How long it waits for an answer.
const PATIENCE: Duration = Duration::from_secs(6);

/// A running client. Dropping it ends it.
pub(crate) struct Device {
    is_ending: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Device {
    pub(crate) fn start(port: u16, habits: Habits) -> Self {
        let is_ending = Arc::new(AtomicBool::new(false));
        let ending = Arc::clone(&is_ending);
        let thread = thread::spawn(move || {
            let mut memory = Memory::default();
            while !ending.load(Ordering::Relaxed) {
                // However a link ends, the next one is dialed.
                let _ = Link::run(port, habits, &mut memory, &ending);
                // Nobody may be listening yet.
                thread::sleep(habits.pause.max(Duration::from_millis(5)));
            }
        });
        Self {
            is_ending,
            thread: Some(thread),
        }
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        self.is_ending.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// What outlives a link.
#[derive(Default)]
struct Memory {
    number: u64,
    runs: u64,
    results: BTreeMap<i64, Value>,
}

struct Link<'a> {
    stream: TcpStream,
    habits: Habits,
    memory: &'a mut Memory,
    /// The topic of the request that is open, and when to go on.
    open: Option<String>,
    next: Instant,
    said: Instant,
    heard: Instant,
}

impl<'a> Link<'a> {
    fn run(
        port: u16,
        habits: Habits,
        memory: &'a mut Memory,
        ending: &AtomicBool,
    ) -> io::Result<()> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_millis(20)))?;
        let now = Instant::now();
        let mut link = Self {
            stream,
            habits,
            memory,
            open: None,
            next: now,
            said: now,
            heard: now,
        };
        link.write(&[
            0x10, 13, 0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, KEEP_ALIVE, 0, 1, b'c',
        ])?;
        let mut sniffer = Sniffer::default();
        let mut buffer = vec![0; 64 * 1_024];
        let mut is_welcome = false;
        while !ending.load(Ordering::Relaxed) {
            match link.stream.read(&mut buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(n) => {
                    link.heard = Instant::now();
                    for packet in sniffer.packets(&buffer[..n]) {
                        if packet.first == 0x20 {
                            is_welcome = true;
                            link.publish("cex/t/command/switch/1", "{\"observe\":true}")?;
                        }
                        link.handle(&packet)?;
                    }
                }
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(error) => return Err(error),
            }
            if is_welcome {
                link.turn()?;
            }
        }
        Ok(())
    }

    fn handle(&mut self, packet: &Packet) -> io::Result<()> {
        // What it does not know makes a client of this kind hang up.
        if !matches!(packet.first & 0xf0, 0x20..=0x40 | 0xd0) || packet.first & 0x06 == 0x06 {
            return Err(ErrorKind::InvalidData.into());
        }
        let Some(message) = packet.message() else {
            return Ok(());
        };
        if message.qos == 1 {
            let length = usize::from(packet.body[0]) << 8 | usize::from(packet.body[1]);
            let id = &packet.body[2 + length..4 + length];
            self.write(&[0x40, 2, id[0], id[1]])?;
        }
        let answers = |open: &String| match self.habits.compares_whole {
            true => message.topic == format!("{open}/status"),
            false => message.topic.starts_with(open.as_str()),
        };
        if self.open.as_ref().is_some_and(answers) {
            self.open = None;
            self.next = Instant::now() + PERIOD;
        }
        if message.topic.contains("/command/switch") {
            let commands: Vec<Value> = serde_json::from_slice(&message.payload).unwrap_or_default();
            for id in commands.iter().filter_map(|command| command["id"].as_i64()) {
                self.execute(id)?;
            }
        }
        Ok(())
    }

    fn execute(&mut self, id: i64) -> io::Result<()> {
        let stored = self.memory.results.get(&id);
        let result = match stored.filter(|_| self.habits.remembers_results) {
            Some(result) => result.clone(),
            None => {
                self.memory.runs += 1;
                json!([{"id": id, "statusCode": 200, "payload": self.memory.runs}])
            }
        };
        self.memory.results.insert(id, result.clone());
        self.publish("cex/t/result/switch", &result.to_string())
    }

    fn turn(&mut self) -> io::Result<()> {
        let now = Instant::now();
        let keep_alive = Duration::from_secs(KEEP_ALIVE.into());
        if self.habits.notices_dead_links && now - self.heard > keep_alive * 3 / 2 {
            return Err(ErrorKind::TimedOut.into());
        }
        // The answer is what is waited for, so this also keeps a good link from looking dead.
        if self.habits.asks_whether_it_is_there && now - self.said > keep_alive / 2 {
            self.write(&[0xc0, 0])?;
        }
        if !self.habits.measures || now < self.next {
            return Ok(());
        }
        self.memory.number += 1;
        let id = match self.habits.numbers_requests {
            true => 1 + self.memory.number % 99,
            false => 1,
        };
        let resource = format!("dcx/t/json/{id}");
        self.publish(&resource, &json!({"n": self.memory.number}).to_string())?;
        self.next = now + PERIOD;
        if self.habits.waits_for_answers {
            self.open = Some(format!("kp1/v/{resource}"));
            self.next = now + PATIENCE;
        }
        Ok(())
    }

    fn publish(&mut self, resource: &str, payload: &str) -> io::Result<()> {
        let topic = format!("kp1/v/{resource}");
        let length = u8::try_from(2 + topic.len() + payload.len()).expect("it is short");
        assert!(length < 128, "one byte is enough for it");
        let topic_length = u8::try_from(topic.len()).expect("it is short");
        let header = [0x30, length, 0, topic_length];
        self.write(&[&header, topic.as_bytes(), payload.as_bytes()].concat())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.said = Instant::now();
        self.stream.write_all(bytes)
    }
}
