//! The Container Runtime Interface: the messages that a kubelet sends for the life of a pod, and
//! the part of gRPC that curl does not provide.
//!
//! The fields and numbers are those of the API's own api.proto, runtime/v1. Fields that no test
//! uses are left out: Protocol Buffers allow that. Knows no containerd and no runtime.

use prost::Message;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

/// `NamespaceMode`: namespaces of the pod's own.
pub const POD: i32 = 0;
/// `NamespaceMode`: those of the node.
pub const NODE: i32 = 2;
/// `ContainerState`: the program runs.
pub const RUNNING: i32 = 1;
/// `ContainerState`: the program has ended.
pub const EXITED: i32 = 2;

/// `PodSandboxState`: the pod's own container runs.
pub const READY: i32 = 0;
/// `PodSandboxState`: it does not.
pub const NOT_READY: i32 = 1;

/// `CgroupDriver`: systemd makes the cgroups.
pub const BY_SYSTEMD: i32 = 0;
/// `CgroupDriver`: the runtime makes them.
pub const BY_CGROUPFS: i32 = 1;

/// The declarations of messages, without the derives and attributes that are always the same.
macro_rules! messages {
    ($($name:ident { $(
        $field:ident: $type:ty = $($kind:ident $(= $of:tt)?)+, $tag:literal;
    )* })*) => {$(
        #[derive(Clone, PartialEq, Message)]
        pub struct $name {
            $(#[prost($($kind $(= $of)?),+, tag = $tag)] pub $field: $type,)*
        }
    )*};
}
pub(super) use messages;

messages! {
    Nothing {}
    Version { version: String = string, "1"; }
    Id { id: String = string, "1"; }
    Metadata {
        name: String = string, "1";
        uid: String = string, "2";
        namespace: String = string, "3";
        attempt: u32 = uint32, "4";
    }
    IdMap {
        host: u32 = uint32, "1";
        container: u32 = uint32, "2";
        length: u32 = uint32, "3";
    }
    UserNamespace {
        mode: i32 = int32, "1";
        uids: Vec<IdMap> = message repeated, "2";
        gids: Vec<IdMap> = message repeated, "3";
    }
    Namespaces {
        network: i32 = int32, "1";
        pid: i32 = int32, "2";
        ipc: i32 = int32, "3";
        user: Option<UserNamespace> = message optional, "5";
    }
    PodSecurity { namespaces: Option<Namespaces> = message optional, "1"; }
    LinuxPod {
        cgroup_parent: String = string, "1";
        security: Option<PodSecurity> = message optional, "2";
    }
    PodConfig {
        metadata: Option<Metadata> = message optional, "1";
        hostname: String = string, "2";
        log_directory: String = string, "3";
        linux: Option<LinuxPod> = message optional, "8";
    }
    RunPod {
        config: Option<PodConfig> = message optional, "1";
        handler: String = string, "2";
    }
    PodNetwork { ip: String = string, "1"; }
    PodStatus {
        id: String = string, "1";
        state: i32 = int32, "3";
        network: Option<PodNetwork> = message optional, "5";
    }
    PodStatusAnswer { status: Option<PodStatus> = message optional, "1"; }
    PodItem {
        id: String = string, "1";
        state: i32 = int32, "3";
    }
    Pods { items: Vec<PodItem> = message repeated, "1"; }
    ContainerItem { state: i32 = int32, "6"; }
    Containers { items: Vec<ContainerItem> = message repeated, "1"; }
    ContainerName {
        name: String = string, "1";
        attempt: u32 = uint32, "2";
    }
    Image { image: String = string, "1"; }
    Variable {
        key: String = string, "1";
        value: String = string, "2";
    }
    Mount {
        destination: String = string, "1";
        source: String = string, "2";
        readonly: bool = bool, "3";
        uids: Vec<IdMap> = message repeated, "6";
        gids: Vec<IdMap> = message repeated, "7";
        recursive_readonly: bool = bool, "8";
        image: Option<Image> = message optional, "9";
    }
    Resources {
        cpu_period: i64 = int64, "1";
        cpu_quota: i64 = int64, "2";
        cpu_shares: i64 = int64, "3";
        memory: i64 = int64, "4";
    }
    Capabilities { add: Vec<String> = string repeated, "1"; }
    Profile {
        kind: i32 = int32, "1";
        name: String = string, "2";
    }
    ContainerSecurity {
        capabilities: Option<Capabilities> = message optional, "1";
        namespaces: Option<Namespaces> = message optional, "3";
        readonly_rootfs: bool = bool, "7";
        no_new_privs: bool = bool, "11";
        apparmor: Option<Profile> = message optional, "16";
    }
    LinuxContainer {
        resources: Option<Resources> = message optional, "1";
        security: Option<ContainerSecurity> = message optional, "2";
    }
    ContainerConfig {
        metadata: Option<ContainerName> = message optional, "1";
        image: Option<Image> = message optional, "2";
        command: Vec<String> = string repeated, "3";
        variables: Vec<Variable> = message repeated, "6";
        mounts: Vec<Mount> = message repeated, "7";
        log: String = string, "11";
        linux: Option<LinuxContainer> = message optional, "15";
    }
    CreateContainer {
        pod: String = string, "1";
        config: Option<ContainerConfig> = message optional, "2";
        pod_config: Option<PodConfig> = message optional, "3";
    }
    ContainerStatus {
        id: String = string, "1";
        metadata: Option<ContainerName> = message optional, "2";
        state: i32 = int32, "3";
        exit_code: i32 = int32, "7";
        reason: String = string, "10";
        message: String = string, "11";
    }
    ContainerStatusAnswer { status: Option<ContainerStatus> = message optional, "1"; }
    Stop {
        id: String = string, "1";
        timeout_s: i64 = int64, "2";
    }
    ExecSync {
        id: String = string, "1";
        words: Vec<String> = string repeated, "2";
        timeout_s: i64 = int64, "3";
    }
    UpdateResources {
        id: String = string, "1";
        resources: Option<Resources> = message optional, "2";
    }
    Amount { value: u64 = uint64, "1"; }
    Memory { working_set: Option<Amount> = message optional, "2"; }
    Stats { memory: Option<Memory> = message optional, "3"; }
    StatsAnswer { stats: Option<Stats> = message optional, "1"; }
    Checkpoint {
        id: String = string, "1";
        location: String = string, "2";
        timeout_s: i64 = int64, "3";
    }
    Features {
        recursive_readonly: bool = bool, "1";
        user_namespaces: bool = bool, "2";
    }
    Handler {
        name: String = string, "1";
        features: Option<Features> = message optional, "2";
    }
    StatusAnswer { handlers: Vec<Handler> = message repeated, "3"; }
    LinuxRuntime { cgroup_driver: i32 = int32, "1"; }
    RuntimeConfigAnswer { linux: Option<LinuxRuntime> = message optional, "1"; }
    ExecAnswer {
        stdout: Vec<u8> = bytes = "vec", "1";
        status: i32 = int32, "3";
    }
}

/// A client of the runtime service behind a socket.
#[derive(Clone)]
pub struct Client {
    /// The socket's path.
    pub socket: String,
}

impl Client {
    /// Call the runtime service: return the answer, or the error's text.
    pub fn call<A: Message + Default>(
        &self,
        method: &str,
        request: &impl Message,
    ) -> Result<A, String> {
        self.timed(method, request).map(|(answer, _)| answer)
    }

    /// As `call`; return also how long the service took, without curl's own start.
    pub fn timed<A: Message + Default>(
        &self,
        method: &str,
        request: &impl Message,
    ) -> Result<(A, Duration), String> {
        let body = request.encode_to_vec();
        let length = u32::try_from(body.len()).expect("a short message");
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--http2-prior-knowledge", "--max-time", "120"])
            .args(["--dump-header", "/dev/stderr", "--write-out", "%{stderr}time:%{time_total}\n"])
            .args(["--header", "content-type: application/grpc", "--header", "te: trailers"])
            .args(["--unix-socket", &self.socket, "--data-binary", "@-"])
            .arg(format!("http://localhost/runtime.v1.RuntimeService/{method}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = curl.spawn().expect("curl starts");
        let frame = [&[0][..], &length.to_be_bytes(), &body].concat();
        child.stdin.take().expect("a pipe").write_all(&frame).expect("curl reads");
        let done = child.wait_with_output().expect("curl ends");
        let said = String::from_utf8_lossy(&done.stderr);
        let field = |name: &str| {
            said.lines().find_map(|line| line.strip_prefix(name)).map(|it| it.trim().to_owned())
        };
        if !done.status.success() {
            return Err(format!("{method}: curl: {said}"));
        }
        let status = field("grpc-status:").unwrap_or_else(|| panic!("{method}: {said}"));
        if status != "0" {
            return Err(field("grpc-message:").unwrap_or(status));
        }
        let seconds = field("time:").and_then(|it| it.parse().ok()).expect("curl's time");
        let answer = A::decode(done.stdout.get(5..).unwrap_or_default());
        Ok((answer.expect("a message of the interface"), Duration::from_secs_f64(seconds)))
    }

    /// As `call`; an error is a failure of the test.
    #[track_caller]
    pub fn ok<A: Message + Default>(&self, method: &str, request: &impl Message) -> A {
        self.call(method, request).unwrap_or_else(|error| panic!("{method}: {error}"))
    }
}
