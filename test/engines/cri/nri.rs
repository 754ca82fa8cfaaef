//! The Node Resource Interface, on a plugin's side: the messages that a plugin exchanges with
//! containerd when containers are made and updated, and the two framings in which they travel.
//!
//! Both sides call each other over one socket: a frame says which of two connections it belongs to,
//! and each connection carries messages of ttrpc. The fields and numbers are those of NRI's own
//! api.proto, v1alpha1; those that no test uses are left out. Knows no runtime.

use super::api::{Variable, messages};
use prost::Message;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use tiny_ce_test::PATIENCE;

messages! {
    Register {
        name: String = string, "1";
        index: String = string, "2";
    }
    Subscription { events: i32 = int32, "2"; }
    Empty {}
    Container {
        id: String = string, "1";
        name: String = string, "3";
    }
    ContainerEvent { container: Option<Container> = message optional, "2"; }
    Mount {
        destination: String = string, "1";
        kind: String = string, "2";
        source: String = string, "3";
        options: Vec<String> = string repeated, "4";
    }
    Hook {
        path: String = string, "1";
        args: Vec<String> = string repeated, "2";
    }
    Hooks {
        create_runtime: Vec<Hook> = message repeated, "2";
        start_container: Vec<Hook> = message repeated, "4";
        poststop: Vec<Hook> = message repeated, "6";
    }
    Rlimit {
        kind: String = string, "1";
        hard: u64 = uint64, "2";
        soft: u64 = uint64, "3";
    }
    CdiDevice { name: String = string, "1"; }
    Signed { value: i64 = int64, "1"; }
    Unsigned { value: u64 = uint64, "1"; }
    Device {
        path: String = string, "1";
        kind: String = string, "2";
        major: i64 = int64, "3";
        minor: i64 = int64, "4";
        mode: Option<Unsigned> = message optional, "5";
    }
    Memory { limit: Option<Signed> = message optional, "1"; }
    Cpu {
        shares: Option<Unsigned> = message optional, "1";
        quota: Option<Signed> = message optional, "2";
        period: Option<Unsigned> = message optional, "3";
        cpus: String = string, "6";
    }
    Pids { limit: i64 = int64, "1"; }
    LinuxAdjustment {
        devices: Vec<Device> = message repeated, "1";
        resources: Option<Resources> = message optional, "2";
        oom_score_adj: Option<Signed> = message optional, "4";
    }
    LinuxUpdate { resources: Option<Resources> = message optional, "1"; }
    Update {
        id: String = string, "1";
        linux: Option<LinuxUpdate> = message optional, "2";
    }
    Creation {
        adjust: Option<Adjustment> = message optional, "1";
        updates: Vec<Update> = message repeated, "2";
    }
    Updates { updates: Vec<Update> = message repeated, "1"; }
    Adjustment {
        annotations: BTreeMap<String, String> = btree_map = "string, string", "2";
        mounts: Vec<Mount> = message repeated, "3";
        env: Vec<Variable> = message repeated, "4";
        hooks: Option<Hooks> = message optional, "5";
        linux: Option<LinuxAdjustment> = message optional, "6";
        rlimits: Vec<Rlimit> = message repeated, "7";
        devices: Vec<CdiDevice> = message repeated, "8";
    }
    Resources {
        memory: Option<Memory> = message optional, "1";
        cpu: Option<Cpu> = message optional, "2";
        unified: BTreeMap<String, String> = btree_map = "string, string", "6";
        pids: Option<Pids> = message optional, "8";
    }
    Request {
        service: String = string, "1";
        method: String = string, "2";
        payload: Vec<u8> = bytes = "vec", "3";
    }
    Status { message: String = string, "2"; }
    Response {
        status: Option<Status> = message optional, "1";
        payload: Vec<u8> = bytes = "vec", "2";
    }
}

/// The connection on which containerd calls the plugin.
const PLUGIN: u32 = 1;
/// The connection on which the plugin calls containerd.
const RUNTIME: u32 = 2;

/// ttrpc: a call.
const REQUEST: u8 = 1;
/// ttrpc: its answer.
const RESPONSE: u8 = 2;

/// The events that a plugin asks for: a container is made (the fourth), or updated (the eighth).
const EVENTS: i32 = 1 << 3 | 1 << 7;

/// What a plugin answers.
pub struct Answers {
    /// Change a container that is made, and others at the same time.
    pub to_creation: Box<dyn Fn(&Container) -> Creation + Send>,
    /// Change an update of a container.
    pub to_update: Box<dyn Fn(&Container) -> Updates + Send>,
}

/// A plugin that is registered, until it is dropped.
pub struct Plugin {
    socket: Arc<Mutex<UnixStream>>,
    answers: Receiver<Response>,
    server: Option<JoinHandle<()>>,
    /// The number of the last call's stream; a caller's streams are odd.
    stream: u32,
}

impl Plugin {
    /// Register a plugin with the service behind this socket, and wait until that knows its events.
    pub fn register(socket: &Path, answers: Answers) -> Plugin {
        let socket = UnixStream::connect(socket).expect("a service");
        let reader = socket.try_clone().expect("a descriptor");
        let socket = Arc::new(Mutex::new(socket));
        let ((tell, told), (ready, waits)) = (mpsc::channel(), mpsc::channel());
        let server = Server { socket: Arc::clone(&socket), answers, responses: tell, ready };
        let server = Some(std::thread::spawn(move || server.serve(reader)));
        let mut plugin = Plugin { socket, answers: told, server, stream: 1 };
        let (name, index) = ("test".to_owned(), "10".to_owned());
        plugin.call::<Empty>("RegisterPlugin", &Register { name, index });
        waits.recv_timeout(PATIENCE).expect("what the service knows");
        plugin
    }

    /// Ask for updates; return those that have failed.
    pub fn update(&mut self, updates: Vec<Update>) -> Vec<Update> {
        self.call::<Updates>("UpdateContainers", &Updates { updates }).updates
    }

    fn call<A: Message + Default>(&mut self, method: &str, request: &impl Message) -> A {
        let request = Request {
            service: "nri.pkg.api.v1alpha1.Runtime".to_owned(),
            method: method.to_owned(),
            payload: request.encode_to_vec(),
        };
        write(&self.socket, RUNTIME, self.stream, REQUEST, &request.encode_to_vec());
        self.stream += 2;
        let answer = self.answers.recv_timeout(PATIENCE).expect("an answer");
        let error = answer.status.map(|status| status.message).filter(|text| !text.is_empty());
        assert_eq!(error, None, "{method}");
        A::decode(answer.payload.as_slice()).expect("a message of the interface")
    }
}

impl Drop for Plugin {
    fn drop(&mut self) {
        let _ = self.socket.lock().expect("no panic").shutdown(std::net::Shutdown::Both);
        let _ = self.server.take().expect("a thread").join();
    }
}

/// The side that reads: it answers calls, and passes on the answers to the plugin's own.
struct Server {
    socket: Arc<Mutex<UnixStream>>,
    answers: Answers,
    responses: Sender<Response>,
    ready: Sender<()>,
}

impl Server {
    /// Serve until the socket is closed. A message of ttrpc may come in several frames.
    fn serve(&self, mut reader: UnixStream) {
        let mut messages = [Vec::new(), Vec::new()];
        let mut head = [0; 8];
        while reader.read_exact(&mut head).is_ok() {
            let connection = number(&head[..4]);
            let mut part = vec![0; number(&head[4..]) as usize];
            if reader.read_exact(&mut part).is_err() {
                return;
            }
            let bytes = &mut messages[connection as usize - 1];
            bytes.extend(part);
            while let Some(length) = bytes.get(..4).map(|bytes| 10 + number(bytes) as usize)
                && bytes.len() >= length
            {
                let message: Vec<u8> = bytes.drain(..length).collect();
                self.take(number(&message[4..8]), message[8], &message[10..]);
            }
        }
    }

    fn take(&self, stream: u32, kind: u8, body: &[u8]) {
        if kind == RESPONSE {
            let response = Response::decode(body).expect("a response");
            let _ = self.responses.send(response);
            return;
        }
        let request = Request::decode(body).expect("a request");
        let container = || {
            let event = ContainerEvent::decode(request.payload.as_slice()).expect("an event");
            event.container.expect("a container")
        };
        let payload = match request.method.as_str() {
            "Configure" => Subscription { events: EVENTS }.encode_to_vec(),
            "CreateContainer" => (self.answers.to_creation)(&container()).encode_to_vec(),
            "UpdateContainer" => (self.answers.to_update)(&container()).encode_to_vec(),
            _ => Vec::new(),
        };
        let response = Response { status: None, payload };
        write(&self.socket, PLUGIN, stream, RESPONSE, &response.encode_to_vec());
        if request.method == "Synchronize" {
            let _ = self.ready.send(());
        }
    }
}

/// Write a message of ttrpc in one frame of its connection.
fn write(socket: &Mutex<UnixStream>, connection: u32, stream: u32, kind: u8, body: &[u8]) {
    let length = u32::try_from(body.len()).expect("a short message");
    // The other side reads a frame into a buffer of one page.
    assert!(length < 4096 - 10, "{length}");
    let head = [connection, length + 10, length, stream].map(u32::to_be_bytes).concat();
    let bytes = [&head, &[kind, 0][..], body].concat();
    // The other side may be gone, which a caller sees by the missing answer.
    let _ = socket.lock().expect("no panic").write_all(&bytes);
}

fn number(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes.try_into().expect("four bytes"))
}
