//! The words of help beside those of the table of commands.

catalogue! {
    "An OCI container runtime: config.json becomes a plan of system calls, and the plan is run." =>
        "OCI 容器运行时：把 config.json 编译成系统调用的计划，再执行这份计划。",
    "Mounts of a container that runs." => "运行中的容器的挂载。",
    "Networks: bridges that containers are attached to, each with a subnet." =>
        "网络：容器接入的网桥，各有一个网段。",
    "Usage" => "用法",
    "Arguments" => "参数",
    "Options" => "选项",
    "Examples" => "示例",
    "Global options" => "全局选项",
    "Commands" => "命令",
    "tiny-ce ALIAS is the same" => "tiny-ce ALIAS 与此相同",
    "Also called ALIAS." => "也写作 ALIAS。",
    "May be given again." => "可多次给出。",
    "More about a command" => "某个命令的详细帮助",
    "Global options are listed by tiny-ce --help." => "全局选项见 tiny-ce --help。",
}
