//! As much of HTTP/1.1 as Lambda's runtime and the SDK speak to us: bodies of known length over
//! connections that are kept. Blocking, a thread for each connection: sleeps are then exact to less
//! than 0.1 ms, where an async timer's are to 1 ms.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

/// A request.
#[derive(Debug, Default)]
pub struct Request {
    /// The path.
    pub path: String,
    /// The operation in `x-amz-target`, without the service: `PutItem`.
    pub operation: String,
    /// The body.
    pub body: Vec<u8>,
}

/// Listens on a free port of the loopback; each request is answered by `answer`, which may wait.
/// No answer closes the connection.
///
/// # Errors
/// Where there is no port.
pub fn serve<F>(tls: Option<Arc<rustls::ServerConfig>>, answer: F) -> io::Result<SocketAddr>
where
    F: Fn(Request) -> Option<Vec<u8>> + Send + Sync + 'static,
{
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let address = listener.local_addr()?;
    let answer = Arc::new(answer);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (answer, tls) = (answer.clone(), tls.clone());
            // A connection that breaks belongs to a process that ended.
            thread::spawn(move || drop(talk(stream, tls, &*answer)));
        }
    });
    Ok(address)
}

fn talk(
    stream: TcpStream,
    tls: Option<Arc<rustls::ServerConfig>>,
    answer: &dyn Fn(Request) -> Option<Vec<u8>>,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    match tls {
        None => converse(BufReader::new(stream), answer),
        Some(config) => {
            let session = rustls::ServerConnection::new(config).map_err(io::Error::other)?;
            converse(
                BufReader::new(rustls::StreamOwned::new(session, stream)),
                answer,
            )
        }
    }
}

fn converse<S: Read + Write>(
    mut stream: BufReader<S>,
    answer: &dyn Fn(Request) -> Option<Vec<u8>>,
) -> io::Result<()> {
    while let Some(request) = read(&mut stream)? {
        let Some(answer) = answer(request) else { break };
        stream.get_mut().write_all(&answer)?;
        stream.get_mut().flush()?;
    }
    Ok(())
}

fn read(stream: &mut impl BufRead) -> io::Result<Option<Request>> {
    let mut request = Request::default();
    let mut length = 0;
    let mut line = String::new();
    if stream.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    request.path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    loop {
        line.clear();
        stream.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().map_err(io::Error::other)?,
            "x-amz-target" => {
                request.operation = value.rsplit('.').next().unwrap_or_default().to_owned();
            }
            "transfer-encoding" => return Err(io::Error::other("a body of unknown length")),
            _ => {}
        }
    }
    request.body.resize(length, 0);
    stream.read_exact(&mut request.body)?;
    Ok(Some(request))
}

/// A response with a body of JSON; `headers` are whole lines.
pub fn response(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n{headers}\r\n"
    );
    [head.as_bytes(), body].concat()
}
