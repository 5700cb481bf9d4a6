//! The same written by hand, with nothing but what it takes: blocking sockets, requests as text,
//! signatures by `ring`. Writes go out ten at a time, each on its own connection.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use jiff::Timestamp;
use ring::{digest, hmac};
use sedano_benches::Result;
use sedano_benches::compare::{CONDITION, Event, Sum, TABLE, all_done, run};

const CONNECTIONS: usize = 10;

fn main() -> Result<()> {
    let endpoint = setting("AWS_ENDPOINT_URL")?;
    let signer = Signer {
        host: endpoint
            .strip_prefix("http://")
            .ok_or("plain HTTP only")?
            .to_owned(),
        region: setting("AWS_REGION")?,
        id: setting("AWS_ACCESS_KEY_ID")?,
        secret: setting("AWS_SECRET_ACCESS_KEY")?,
        token: setting("AWS_SESSION_TOKEN")?,
    };
    let mut lambda = Connection::open(&setting("AWS_LAMBDA_RUNTIME_API")?)?;
    let mut table = (0..CONNECTIONS)
        .map(|_| Connection::open(&signer.host))
        .collect::<io::Result<Vec<_>>>()?;
    loop {
        lambda.send("GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nhost: l\r\n\r\n")?;
        let id = lambda.receive()?;
        let event: Event = serde_json::from_slice(&lambda.body)?;
        // The key of a day, made anew for each event.
        let now = Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
        let key = signer.key(&now[..8]);
        for wave in event.records.chunks(CONNECTIONS) {
            for (connection, record) in table.iter_mut().zip(wave) {
                connection.send(&signer.put(&run(&record.body)?, &now, &key))?;
            }
            for connection in &mut table[..wave.len()] {
                connection.receive()?;
            }
        }
        let answer = all_done().to_string();
        lambda.send(&format!(
            "POST /2018-06-01/runtime/invocation/{id}/response HTTP/1.1\r\nhost: l\r\n\
             content-length: {}\r\n\r\n{answer}",
            answer.len()
        ))?;
        lambda.receive()?;
    }
}

fn setting(name: &str) -> Result<String> {
    #[expect(
        clippy::disallowed_methods,
        reason = "a program of its own: it has no other settings"
    )]
    std::env::var(name).map_err(|_| format!("{name} is not set").into())
}

struct Connection {
    stream: BufReader<TcpStream>,
    line: String,
    body: Vec<u8>,
}

impl Connection {
    fn open(address: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream: BufReader::new(stream),
            line: String::new(),
            body: Vec::new(),
        })
    }

    fn send(&mut self, request: &str) -> io::Result<()> {
        self.stream.get_mut().write_all(request.as_bytes())
    }

    /// Reads a response's body; returns the request id, if it has one.
    fn receive(&mut self) -> Result<String> {
        let (mut length, mut id, mut first) = (0, String::new(), true);
        loop {
            self.line.clear();
            if self.stream.read_line(&mut self.line)? == 0 {
                return Err("the other side is gone".into());
            }
            let line = self.line.trim_end();
            if std::mem::take(&mut first) && !line.starts_with("HTTP/1.1 20") {
                return Err(line.into());
            }
            match line.split_once(": ") {
                Some(("content-length", value)) => length = value.parse()?,
                Some(("lambda-runtime-aws-request-id", value)) => value.clone_into(&mut id),
                Some(_) => {}
                None if line.is_empty() => break,
                None => {}
            }
        }
        self.body.resize(length, 0);
        self.stream.read_exact(&mut self.body)?;
        Ok(id)
    }
}

/// Signature Version 4.
struct Signer {
    host: String,
    region: String,
    id: String,
    secret: String,
    token: String,
}

const TARGET: &str = "DynamoDB_20120810.PutItem";
const SIGNED: &str = "host;x-amz-date;x-amz-security-token;x-amz-target";

impl Signer {
    fn key(&self, day: &str) -> hmac::Key {
        let first = hmac::Key::new(hmac::HMAC_SHA256, format!("AWS4{}", self.secret).as_bytes());
        [day, &self.region, "dynamodb", "aws4_request"]
            .iter()
            .fold(first, |key, part| {
                let tag = hmac::sign(&key, part.as_bytes());
                hmac::Key::new(hmac::HMAC_SHA256, tag.as_ref())
            })
    }

    fn put(&self, sum: &Sum, now: &str, key: &hmac::Key) -> String {
        let Sum {
            id,
            result,
            finished_at,
            ttl,
        } = sum;
        // None of the values can hold a character that JSON escapes.
        let body = format!(
            r#"{{"TableName":"{TABLE}","Item":{{"id":{{"S":"{id}"}},"task":{{"S":"add"}},"status":{{"S":"SUCCESS"}},"result":{{"S":"{result}"}},"finished_at":{{"S":"{finished_at}"}},"ttl":{{"N":"{ttl}"}}}},"ConditionExpression":"{CONDITION}"}}"#
        );
        let Self {
            host,
            region,
            id,
            token,
            ..
        } = self;
        let canonical = format!(
            "POST\n/\n\nhost:{host}\nx-amz-date:{now}\nx-amz-security-token:{token}\n\
             x-amz-target:{TARGET}\n\n{SIGNED}\n{}",
            hex(digest::digest(&digest::SHA256, body.as_bytes()).as_ref())
        );
        let scope = format!("{}/{region}/dynamodb/aws4_request", &now[..8]);
        let hashed = hex(digest::digest(&digest::SHA256, canonical.as_bytes()).as_ref());
        let to_sign = format!("AWS4-HMAC-SHA256\n{now}\n{scope}\n{hashed}");
        let signature = hex(hmac::sign(key, to_sign.as_bytes()).as_ref());
        format!(
            "POST / HTTP/1.1\r\nhost: {host}\r\nx-amz-date: {now}\r\nx-amz-security-token: {token}\r\n\
             x-amz-target: {TARGET}\r\ncontent-type: application/x-amz-json-1.0\r\n\
             authorization: AWS4-HMAC-SHA256 Credential={id}/{scope}, SignedHeaders={SIGNED}, \
             Signature={signature}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
    }
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |half: u8| char::from(DIGITS[usize::from(half)]);
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .collect()
}
