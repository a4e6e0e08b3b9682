//! The system calls of a node, as `strace` sees them: which bytes went where, and in which order calls began and ended.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

/// Attaching to a process with a handful of threads takes no longer.
const ATTACHED_WITHIN: Duration = Duration::from_secs(20);

/// One call that has ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// Its name, such as `fdatasync`.
    pub name: String,
    /// What its first descriptor is: a path, or `TCP:[from->to]`.
    pub target: String,
    /// The bytes that it was given.
    pub data: Vec<u8>,
    /// What it returned; negative if it failed.
    pub result: i64,
    /// Its place among all beginnings and ends of calls.
    pub began: usize,
    /// So is this, and both can be compared with those of other calls.
    pub ended: usize,
    /// When it ended, seconds since 1970-01-01T00:00:00Z.
    pub ended_at: f64,
}

/// A tracer at work.
pub struct Tracer {
    child: Child,
    out: PathBuf,
}

/// Why calls cannot be traced here, or `None` if they can.
pub fn unusable() -> Option<String> {
    match std::process::Command::new("strace").arg("--version").output() {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(format!(
            "strace does not run: {}",
            String::from_utf8_lossy(&output.stderr)
        )),
        Err(error) => Some(format!("strace does not run: {error}")),
    }
}

impl Tracer {
    /// Traces a running process with all its threads, those to come included, into the file `out`. Returns once it does.
    /// `arguments` say which calls, and what is done to them.
    ///
    /// # Errors
    /// If the process cannot be traced.
    pub async fn attach(process: u32, out: &Path, arguments: &[&str]) -> anyhow::Result<Self> {
        let mut child = Command::new("strace")
            .args([
                "-f",
                "-ttt",
                "-T",
                "-yy",
                "-xx",
                "-s",
                "1048576",
                "-p",
                &process.to_string(),
                "-o",
            ])
            .arg(out)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .context("starting strace")?;
        let stderr = child.stderr.take().context("strace has a standard error")?;
        let mut lines = BufReader::new(stderr).lines();
        let attached = async {
            let mut said = String::new();
            while let Some(line) = lines.next_line().await? {
                if line.contains("attached") {
                    return Ok(());
                }
                said.push_str(&line);
            }
            bail!("strace did not attach to process {process}: {said}")
        };
        tokio::time::timeout(ATTACHED_WITHIN, attached)
            .await
            .with_context(|| format!("strace is not attached within {ATTACHED_WITHIN:?}"))??;
        // It says more about threads that come and go; somebody has to read that.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(Self {
            child,
            out: out.to_owned(),
        })
    }

    /// Ends the tracing; the process goes on. Returns its calls.
    ///
    /// # Errors
    /// If the trace cannot be read.
    pub async fn finish(mut self) -> anyhow::Result<Vec<Call>> {
        let id = self.child.id().and_then(|id| i32::try_from(id).ok());
        if let Some(pid) = id.and_then(rustix::process::Pid::from_raw) {
            // Our child and not yet waited for.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::INT);
        }
        self.child.wait().await?;
        let text = std::fs::read_to_string(&self.out).with_context(|| format!("reading {}", self.out.display()))?;
        Ok(parse(&text))
    }
}

/// Reads what `strace -f -ttt -T -yy -xx` writes. Calls that have not ended are left out, and so are lines about signals
/// and exits.
pub fn parse(text: &str) -> Vec<Call> {
    let mut calls = Vec::new();
    let mut open: Vec<(&str, usize, String)> = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let mut words = line.trim_start().splitn(2, ' ');
        let (Some(thread), Some(rest)) = (words.next(), words.next()) else {
            continue;
        };
        let Some((time, rest)) = rest.trim_start().split_once(' ') else {
            continue;
        };
        let Ok(time) = time.parse::<f64>() else { continue };
        if let Some(begun) = rest.strip_suffix(" <unfinished ...>") {
            open.push((thread, at, begun.to_owned()));
        } else if let Some(resumed) = rest.strip_prefix("<... ") {
            let Some(index) = open.iter().position(|(of, ..)| *of == thread) else {
                continue;
            };
            let (_, began, begun) = open.remove(index);
            let Some((_, end)) = resumed.split_once("resumed>") else {
                continue;
            };
            // Printed when it ended.
            calls.extend(call(&format!("{begun}{end}"), began, at, |_| time));
        } else {
            // Printed with the time of its beginning.
            calls.extend(call(rest, at, at, |took| time + took));
        }
    }
    calls
}

fn call(text: &str, began: usize, ended: usize, ended_at: impl Fn(f64) -> f64) -> Option<Call> {
    let (name, rest) = text.split_once('(')?;
    let (arguments, result) = rest.rsplit_once(" = ")?;
    let took = result
        .rsplit_once('<')
        .and_then(|(_, took)| took.strip_suffix('>')?.parse().ok())
        .unwrap_or_default();
    let result = result.split([' ', '<']).next()?.parse().ok()?;
    let first = arguments.split(',').next()?;
    let target = first
        .split_once('<')
        .and_then(|(_, target)| target.trim_end().trim_end_matches(')').strip_suffix('>'))
        .map_or_else(String::new, |target| {
            String::from_utf8_lossy(&unescape(target)).into_owned()
        });
    let mut data: Vec<u8> = arguments.split('"').skip(1).step_by(2).flat_map(unescape).collect();
    // What a call did not take is given again by the next one.
    data.truncate(usize::try_from(result).unwrap_or(0));
    Some(Call {
        name: name.to_owned(),
        target,
        data,
        result,
        began,
        ended,
        ended_at: ended_at(took),
    })
}

/// `\x41B` is `AB`.
fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len() / 4);
    let mut rest = text.as_bytes();
    while let Some(first) = rest.first() {
        let escaped = rest
            .strip_prefix(b"\\x")
            .and_then(|hex| Some((std::str::from_utf8(hex.get(..2)?).ok()?, hex.get(2..)?)))
            .and_then(|(hex, after)| Some((u8::from_str_radix(hex, 16).ok()?, after)));
        let (byte, after) = escaped.unwrap_or((*first, &rest[1..]));
        bytes.push(byte);
        rest = after;
    }
    bytes
}

/// A piece of a body that HTTP/2 sent: which request of the connection it answers, its bytes, and the call that sent its
/// last byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// Bytes of the body.
    pub data: Vec<u8>,
    /// When the call began that carried its last byte, as in [`Call::began`].
    pub began: usize,
}

/// The bodies that HTTP/2 sent over one connection, in order. `calls` are all calls that wrote to it; the connection may
/// have begun before them, at the boundary of a frame.
pub fn bodies<'a>(calls: impl Iterator<Item = &'a Call>) -> Vec<Sent> {
    const HEADER: usize = 9;
    let mut sent = Vec::new();
    let mut pending: Vec<u8> = Vec::new();
    for call in calls {
        pending.extend_from_slice(&call.data);
        while pending.len() >= HEADER {
            let length = usize::from(pending[0]) << 16 | usize::from(pending[1]) << 8 | usize::from(pending[2]);
            if pending.len() < HEADER + length {
                break;
            }
            let rest = pending.split_off(HEADER + length);
            // RFC 9113, section 6.1: type 0 is DATA. No server pads.
            if pending[3] == 0 && length > 0 {
                sent.push(Sent {
                    data: pending.split_off(HEADER),
                    began: call.began,
                });
            }
            pending = rest;
        }
    }
    sent
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = r#"
41 1795373677.788769 pwrite64(8<\x2f\x72\x61\x66\x74>, "\x68\x65", 2, 0) = 2 <0.000104>
42 1795373677.790000 sendto(7<TCP:[127.0.0.1:7401->127.0.0.1:4]>, "\x61\x62\x63", 3, MSG_NOSIGNAL, NULL, 0) = 2 <0.000121>
41 1795373677.790035 fdatasync(8<\x2f\x72\x61\x66\x74> <unfinished ...>
42 1795373677.793897 writev(7<TCP:[127.0.0.1:7401->127.0.0.1:4]>, [{iov_base="\x78", iov_len=1}, {iov_base="\x79\x7a", iov_len=2}], 2) = 3 <0.003391>
41 1795373677.800000 <... fdatasync resumed>) = -1 EIO (Input/output error) (INJECTED) <0.009965>
42 1795373677.900000 --- SIGCHLD {si_signo=SIGCHLD} ---
43 1795373677.900001 fdatasync(9<\x2f\x78> <unfinished ...>
42 1795373677.910000 +++ exited with 0 +++
"#;

    #[test]
    fn calls_are_read_with_their_bytes_targets_and_order() {
        let calls = parse(TRACE);
        let short: Vec<_> = calls
            .iter()
            .map(|call| {
                (
                    call.name.as_str(),
                    call.target.as_str(),
                    call.data.as_slice(),
                    call.result,
                )
            })
            .collect();
        let tcp = "TCP:[127.0.0.1:7401->127.0.0.1:4]";
        assert_eq!(
            short,
            [
                ("pwrite64", "/raft", b"he".as_slice(), 2),
                ("sendto", tcp, b"ab", 2),
                ("writev", tcp, b"xyz", 3),
                ("fdatasync", "/raft", b"", -1),
            ]
        );
        let (writev, sync) = (&calls[2], &calls[3]);
        assert!(sync.began < writev.began && writev.ended < sync.ended);
        assert!((sync.ended_at - 1_795_373_677.8).abs() < 1e-6);
    }

    #[test]
    fn bodies_are_found_across_the_borders_of_calls() {
        let call = |began, data: &[u8]| Call {
            name: "write".to_owned(),
            target: String::new(),
            data: data.to_vec(),
            result: 0,
            began,
            ended: began,
            ended_at: 0.0,
        };
        let frame = |kind: u8, body: &[u8]| {
            let length = u8::try_from(body.len()).unwrap_or(u8::MAX);
            [&[0, 0, length, kind, 0, 0, 0, 0, 1], body].concat()
        };
        let all = [
            frame(4, b""),
            frame(1, b"head"),
            frame(0, b"first"),
            frame(0, b"second"),
            frame(0, b""),
        ]
        .concat();
        let (a, b) = all.split_at(40);
        let found = bodies([call(1, a), call(2, b)].iter());
        let expected = [(b"first".to_vec(), 1), (b"second".to_vec(), 2)].map(|(data, began)| Sent { data, began });
        assert_eq!(found, expected);
    }
}
