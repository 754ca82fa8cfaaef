//! containerd's CRI plugin, as a kubelet calls it: the runtime is a handler, which a RuntimeClass
//! names.
//!
//! Knows the few calls and fields of the Container Runtime Interface that the life of a pod needs,
//! and the part of gRPC that curl does not provide. Pods use the node's network: there is no CNI
//! plugin here.

use crate::containerd::Containerd;
use crate::ground::{IMAGE, on_each_runtime, until};
use crate::limits::Limit;
use crate::units::systemd;
use serde_json::json;
use std::path::Path;
use tiny_ce_test::Need;

on_each_runtime!(a_pod_and_its_containers);

/// The CRI plugin's own namespace.
const NAMESPACE: &str = "k8s.io";

/// An image with only a program that waits and holds a pod's namespaces.
const PAUSE: &str = "localhost/pause:1";

/// `NODE` of the interface's NamespaceMode.
const NODE: u64 = 2;

/// `CONTAINER_EXITED` of the interface's ContainerState.
const EXITED: u64 = 2;

/// Run `test` with a handler that is named after the runtime.
fn on(runtime: &'static str, test: fn(&Containerd)) {
    let config = format!(
        r#"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{PAUSE}"
# Not below containerd's own, which takes CAP_SYS_RESOURCE.
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".containerd]
default_runtime_name = "{runtime}"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.{runtime}]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.{runtime}.options]
BinaryName = "{runtime}"
SystemdCgroup = {}
"#,
        systemd()
    );
    let needs = [Need::Program("curl")];
    let Some(containerd) = Containerd::new(runtime, &config, &needs) else { return };
    containerd.import(NAMESPACE, &containerd.ground.image());
    let config = json!({"Entrypoint": ["/probe", "pause"]});
    containerd.import(NAMESPACE, &containerd.ground.image_as(PAUSE, config));
    // The plugin starts later than containerd answers.
    let version = || call(&containerd, "Version", &Message::default()).ok();
    until("the plugin is there", version);
    test(&containerd);
    containerd.end();
}

/// A message in the encoding of Protocol Buffers.
#[derive(Clone, Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value > 0x7f {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn number(mut self, field: u64, value: u64) -> Message {
        self.varint(field << 3);
        self.varint(value);
        self
    }

    fn bytes(mut self, field: u64, bytes: &[u8]) -> Message {
        self.varint(field << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend(bytes);
        self
    }

    fn text(self, field: u64, text: &str) -> Message {
        self.bytes(field, text.as_bytes())
    }

    fn texts(self, field: u64, texts: &[&str]) -> Message {
        texts.iter().fold(self, |message, text| message.text(field, text))
    }

    fn message(self, field: u64, message: &Message) -> Message {
        self.bytes(field, &message.0)
    }

    /// The fields of the message: number, varint value or length, and bytes.
    fn fields(&self) -> Vec<(u64, u64, Message)> {
        let mut rest = &self.0[..];
        let mut found = Vec::new();
        while !rest.is_empty() {
            let (key, value) = (varint(&mut rest), varint(&mut rest));
            let length = if key & 7 == 2 { value } else { 0 };
            let (bytes, after) = rest.split_at(usize::try_from(length).expect("a length"));
            found.push((key >> 3, value, Message(bytes.to_vec())));
            rest = after;
        }
        found
    }

    fn get(&self, field: u64) -> Message {
        let found = self.fields().into_iter().find(|(number, ..)| *number == field);
        found.map(|(.., bytes)| bytes).unwrap_or_default()
    }

    /// The number in the field; an absent one is 0.
    fn get_number(&self, field: u64) -> u64 {
        let found = self.fields().into_iter().find(|(number, ..)| *number == field);
        found.map_or(0, |(_, value, _)| value)
    }

    fn get_text(&self, field: u64) -> String {
        String::from_utf8_lossy(&self.get(field).0).into_owned()
    }
}

fn varint(rest: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..).step_by(7) {
        let (byte, after) = rest.split_first().expect("a whole message");
        *rest = after;
        value |= u64::from(byte & 0x7f) << shift;
        if *byte < 0x80 {
            break;
        }
    }
    value
}

/// Call the runtime service: return the answer, or the error's text.
#[track_caller]
fn call(containerd: &Containerd, method: &str, request: &Message) -> Result<Message, String> {
    let ground = &containerd.ground;
    let length = u32::try_from(request.0.len()).expect("a short message");
    let frame = [&[0][..], &length.to_be_bytes(), &request.0].concat();
    let path = |name: &str| ground.path(name).to_str().expect("UTF-8").to_owned();
    let (asked, answer) = (path("request"), path("answer"));
    std::fs::write(&asked, frame).expect("the request");
    let _ = std::fs::remove_file(&answer);
    let url = format!("http://localhost/runtime.v1.RuntimeService/{method}");
    let (data, socket) = (format!("@{asked}"), containerd.socket());
    let curl =
        ["curl", "--silent", "--show-error", "--http2-prior-knowledge", "--dump-header", "-"];
    let grpc = ["--header", "content-type: application/grpc", "--header", "te: trailers"];
    let files = ["--unix-socket", socket, "--data-binary", &data, "--output", &answer, &url];
    let done = ground.run(&[], &[&curl[..], &grpc, &files].concat());
    if done.code() != 0 {
        return Err(done.to_string());
    }
    let header = |name: &str| {
        let value = |line: &str| line.strip_prefix(name).map(|value| value.trim().to_owned());
        done.stdout.lines().find_map(value)
    };
    let status = header("grpc-status:").unwrap_or_else(|| panic!("{method}: no status\n{done}"));
    if status != "0" {
        return Err(header("grpc-message:").unwrap_or(status));
    }
    let answer = std::fs::read(Path::new(&answer)).expect("the answer");
    Ok(Message(answer.get(5..).unwrap_or_default().to_vec()))
}

#[track_caller]
fn ok(containerd: &Containerd, method: &str, request: &Message) -> Message {
    call(containerd, method, request).unwrap_or_else(|error| panic!("{method}: {error}"))
}

/// Run a shell script by `ExecSync`; return its status and its standard output.
#[track_caller]
fn exec(containerd: &Containerd, id: &str, script: &str) -> (u64, String) {
    let request = Message::default().text(1, id).texts(2, &["sh", "-c", script]).number(3, 20);
    let answer = ok(containerd, "ExecSync", &request);
    (answer.get_number(3), answer.get_text(1))
}

fn a_pod_and_its_containers(containerd: &Containerd) {
    let none = Message::default;
    let ground = &containerd.ground;
    let metadata = none().text(1, "pod").text(2, ground.tag()).text(3, "default");
    let security = none().message(1, &none().number(1, NODE));
    let parent = format!("/{}", ground.parent().trim_start_matches('/'));
    let parent = none().text(1, &parent).message(2, &security);
    let sandbox = none().message(1, &metadata).message(8, &parent);
    let request = |handler: &str| none().message(1, &sandbox).text(2, handler);
    let error = call(containerd, "RunPodSandbox", &request("nosuch")).err().expect("no handler");
    assert!(error.contains("nosuch"), "{error}");
    let pod = ok(containerd, "RunPodSandbox", &request(ground.runtime.name)).get_text(1);
    let state = ground.seen("/run/containerd/runc").join(NAMESPACE);
    ground.made(&state.join(&pod));

    let resources = none().number(2, 50_000).number(1, 100_000).number(4, 64 << 20);
    let security = none().message(3, &none().number(1, NODE));
    let linux = none().message(1, &resources).message(2, &security);
    let container = |name: &str, command: &[&str]| {
        let config = none().message(1, &none().text(1, name)).message(2, &none().text(1, IMAGE));
        let variable = none().text(1, "A").text(2, "a");
        let config = config.texts(3, command).message(6, &variable).message(15, &linux);
        let request = none().text(1, &pod).message(2, &config).message(3, &sandbox);
        ok(containerd, "CreateContainer", &request).get_text(1)
    };
    let start = |id: &str| call(containerd, "StartContainer", &none().text(1, id));
    let status = |id: &str| ok(containerd, "ContainerStatus", &none().text(1, id)).get(1);

    let id = container("one", &["sh", "-c", "trap 'exit 3' TERM; while sleep 0.05; do :; done"]);
    start(&id).expect("one starts");
    ground.made(&state.join(&id));
    assert_eq!(exec(containerd, &id, "echo $A; exit 5"), (5, "a\n".to_owned()));
    ground.of_has(&id, &[Limit::Memory(64 << 20), Limit::Quota(50_000, 100_000)]);
    let more = none().number(4, 32 << 20);
    if systemd() {
        assert_eq!(ground.scope(&id), format!("cri-containerd-{id}.scope"));
    }
    ok(containerd, "UpdateContainerResources", &none().text(1, &id).message(2, &more));
    ground.of_has(&id, &[Limit::Memory(32 << 20), Limit::Quota(50_000, 100_000)]);
    let stats = ok(containerd, "ContainerStats", &none().text(1, &id)).get(1);
    assert!(stats.get(3).get(2).get_number(1) > 0, "memory's working set");
    // The containers of a pod share its namespaces: the pod's IPC, and the node's network.
    let see = "readlink /proc/self/ns/ipc /proc/self/ns/net | tr '\\n' ' '";
    let other = container("two", &["/probe", "pause"]);
    start(&other).expect("two starts");
    assert_eq!(exec(containerd, &id, see), exec(containerd, &other, see));

    ok(containerd, "StopContainer", &none().text(1, &id).number(2, 20));
    let ended = status(&id);
    assert_eq!((ended.get_number(3), ended.get_number(7)), (EXITED, 3));
    let wrong = container("wrong", &["nosuch"]);
    let error = start(&wrong).err().expect("there is no such program");
    assert!(error.contains("executable file not found in $PATH"), "{error}");
    let ended = status(&wrong);
    assert_eq!(ended.get_number(3), EXITED);
    for method in ["StopPodSandbox", "RemovePodSandbox"] {
        ok(containerd, method, &none().text(1, &pod));
    }
}
