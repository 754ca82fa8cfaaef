//! The commands: summaries, texts, arguments, headings and examples, in the order of the help.

catalogue! {
    "Containers" => "容器",
    "Bundles and plans" => "容器包与计划",
    "Networks" => "网络",
    "Other machines" => "其他机器",
    "The machine" => "本机",
    "Help" => "帮助",
    "Create a container, start it, and wait for its end." => "创建并启动一个容器，等待它结束。",
    "With --bundle, or with a CONTAINER and a config.json in the working directory, it is the \
     container of that config.json. Otherwise no config.json is needed: a shell, or the \
     COMMAND, runs in the host's file system, whose changes vanish, or in that of --rootfs." =>
        "给出 --bundle，或者给出 CONTAINER 而当前目录里有 config.json 时，运行那份 config.json \
         描述的容器。否则不需要 config.json：shell 或 COMMAND 运行在宿主机的文件系统里，\
         改动会消失，或者运行在 --rootfs 的文件系统里。",
    "Signals are passed on. The exit status is that of the program, or 128 plus the signal's \
     number if a signal ended it." =>
        "信号会转发给程序。退出状态是程序的退出状态；程序被信号终止时是 128 加信号编号。",
    "The name of the new container; default: a generated one." => "新容器的名字；默认自动生成。",
    "The program of a container without a bundle; default: a shell. --name gives the container \
     of a shell a name." =>
        "没有容器包时要运行的程序；默认是 shell。给运行 shell 的容器取名，用 --name。",
    "Container" => "容器",
    "Container without a bundle" => "没有容器包的容器",
    "a shell that can break nothing" => "一个怎么折腾都没关系的 shell",
    "a command, with limits" => "带限制的命令",
    "a shell in an unpacked image" => "在解开的镜像里运行 shell",
    "from /srv/web/config.json" => "由 /srv/web/config.json 描述",
    "Create a container; its program waits for \"start\"." =>
        "创建一个容器；它的程序等待 \"start\"。",
    "Its name." => "名字。",
    "Start the program of a created container." => "启动已创建容器的程序。",
    "A created container." => "已创建的容器。",
    "its program runs from now on" => "它的程序从此运行",
    "Run another program in a running container." => "在运行中的容器里再运行一个程序。",
    "It has the user, variables, capabilities, limits and filter of the container's own \
     process, unless options change them. Options stand before the COMMAND. The exit status is \
     that of the program, or 255 if it could not be started." =>
        "除非用选项更改，它的用户、环境变量、能力、限制和过滤器都与容器自己的进程相同。\
         选项要写在 COMMAND 之前。退出状态是程序的退出状态；无法启动时是 255。",
    "A running container." => "运行中的容器。",
    "The program and its arguments." => "程序及其参数。",
    "Changes to the container's own process" => "与容器自己的进程不同之处",
    "a shell in the container" => "容器里的 shell",
    "as another user" => "换一个用户",
    "as engines call it" => "容器引擎的调用方式",
    "Send a signal to a container's program." => "向容器的程序发送信号。",
    "KILL ends every process of the container, also those that its program has left behind in \
     a shared pid namespace. TERM, INT, HUP and QUIT end a container that is created and not \
     started." =>
        "KILL 终止容器的全部进程，包括程序遗留在共用的 pid 命名空间里的进程。TERM、INT、HUP 和 \
         QUIT 终止已创建而未启动的容器。",
    "The container." => "容器。",
    "Its name or number; default: TERM. 0 only checks whether the program runs." =>
        "信号的名字或编号；默认 TERM。0 只检查程序是否在运行。",
    "ask it to end" => "请它结束",
    "end all its processes at once" => "立即终止它的全部进程",
    "web-1, web-2, and so on" => "web-1、web-2 等等",
    "Delete a container that does not run, and all its resources." =>
        "删除一个不在运行的容器，以及它的全部资源。",
    "in any state" => "无论什么状态",
    "List containers." => "列出容器。",
    "It is an error if --root names a directory that does not exist." =>
        "--root 指定的目录不存在时算作错误。",
    "for a script" => "供脚本使用",
    "Print the state of a container, as JSON." => "以 JSON 打印容器的状态。",
    "Pause all processes of a container." => "暂停容器的全部进程。",
    "They keep their memory and files, and get no processor time until \"resume\". A container \
     whose program is not started yet can be paused as well. If it is paused already, there is \
     a warning." =>
        "它们保留内存和文件，但在 \"resume\" 之前得不到处理器时间。\
         程序还没有启动的容器也可以暂停。已经暂停时给出警告。",
    "its processes get no processor time" => "它的进程不再得到处理器时间",
    "Resume the processes of a paused container." => "让暂停的容器继续运行。",
    "If the container is not paused, there is a warning." => "容器没有暂停时给出警告。",
    "A paused container." => "暂停的容器。",
    "its processes go on" => "它的进程继续运行",
    "Save a running container to a directory, with CRIU." =>
        "用 CRIU 把运行中的容器保存到一个目录。",
    "All of its processes are saved and ended, and the container is deleted. \"restore\" \
     resumes it, here or on another machine with the same bundle." =>
        "全部进程都保存下来并终止，容器被删除。\"restore\" 让它接着运行，可以在本机，\
         也可以在有同样容器包的另一台机器上。",
    "A running or paused container." => "运行中或暂停的容器。",
    "CRIU" => "CRIU",
    "save it, and end it" => "保存并终止它",
    "save it, but let it go on" => "保存它，但让它继续运行",
    "Resume a container that \"checkpoint\" has saved." => "让 \"checkpoint\" 保存的容器接着运行。",
    "The container is made from its bundle, and its processes from the images. The command \
     waits for its end, as \"run\" does." =>
        "容器由容器包建立，进程由镜像恢复。与 \"run\" 一样等待它结束。",
    "go on from the checkpoint" => "从检查点接着运行",
    "List the processes of a container." => "列出容器的进程。",
    "The table has the lines of the host's ps(1) for these processes. Pids are the host's." =>
        "表里是宿主机的 ps(1) 为这些进程打印的行。进程号是宿主机上的。",
    "Options for ps(1), whose output must have the column PID; default: -ef." =>
        "ps(1) 的选项，输出里必须有 PID 一列；默认 -ef。",
    "as ps -ef" => "同 ps -ef",
    "other columns" => "换几列",
    "[4711,4712]" => "[4711,4712]",
    "Wait for containers to end, and print their exit statuses." => "等待容器结束，打印退出状态。",
    "Print a line for each, in the order given: the status of its program, or 128 plus the \
     number of the signal that ended it. Each must be running when the command begins. Linux \
     6.15 and later keep the status for every process that waits. On an older kernel it is \
     lost once the process that started the container has read it." =>
        "按给出的顺序每个打印一行：程序的退出状态，被信号终止时是 128 加信号编号。\
         命令开始时它们必须都在运行。Linux 6.15 及更高版本为每个等待的进程保留状态。\
         在更早的内核上，启动容器的进程读过状态之后，就再也得不到了。",
    "Running or created containers." => "运行中或已创建的容器。",
    "prints 0 once it has ended with status 0" => "以状态 0 结束后打印 0",
    "exits with the status of job" => "以 job 的状态退出",
    "Print what a container uses, and its OOM kills, until it ends." =>
        "打印容器的用量和内存耗尽事件，直到它结束。",
    "Print a line of JSON for each event, in runc's format: \"stats\" at each interval, and \
     \"oom\" as soon as the OOM killer has killed a process of the container." =>
        "每个事件打印一行 JSON，格式同 runc：每隔一段时间打印 \"stats\"，\
         内核因内存耗尽终止容器的进程时立即打印 \"oom\"。",
    "print what it uses now" => "打印现在的用量",
    "every second, and OOM kills" => "每秒一次，另有内存耗尽事件",
    "Change the limits of a container that runs, or is paused." => "更改运行中或暂停的容器的限制。",
    "Other limits are left unchanged. If one of the given limits is refused, none is changed. \
     An option overrides a limit of --resources. Device rules are left unchanged." =>
        "其他限制不变。给出的限制只要有一个被拒绝，就一个也不改。选项优先于 --resources \
         里的限制。设备规则不变。",
    "Limits" => "限制",
    "no swap" => "没有交换空间",
    "half a processor" => "半个处理器",
    "the limits in the file" => "文件里的限制",
    "Mount something in a container that runs." => "在运行中的容器里挂载。",
    "The file has a JSON array like \"mounts\" of config.json. Sources are paths of the host; \
     a relative one is below the bundle. If one mount is refused, none is made." =>
        "文件里是 JSON 数组，格式同 config.json 的 \"mounts\"。来源是宿主机上的路径；\
         相对路径从容器包算起。有一个挂载被拒绝，就一个也不挂载。",
    "A created or running container." => "已创建或运行中的容器。",
    "The mounts, or - for standard input." => "各个挂载，- 表示标准输入。",
    "make the mounts in the file" => "挂载文件里列出的",
    "Unmount something in a container that runs." => "在运行中的容器里卸载。",
    "The file has the format of \"mounts add\". Only the destinations count: the last mount at \
     each is removed. Programs keep the files of it that they have open." =>
        "文件格式同 \"mounts add\"。只看挂载点：每一处卸载最后挂载的那个。\
         程序已经打开的文件仍然可用。",
    "undo \"mounts add web mounts.json\"" => "撤销 \"mounts add web mounts.json\"",
    "Create and start a container from a bundle, and wait for its end." =>
        "由容器包创建并启动一个容器，等待它结束。",
    "The same as \"run --bundle BUNDLE\" with a generated name. The config.json may lack \
     ociVersion." =>
        "等于 \"run --bundle BUNDLE\"，名字自动生成。config.json 可以没有 ociVersion。",
    "Directory with config.json." => "config.json 所在的目录。",
    "Delete all containers, also running ones." => "删除全部容器，包括运行中的。",
    "Print the system calls that make a container, and explain each." =>
        "打印建立容器的系统调用，并逐个说明。",
    "Each is below the field of config.json that it is for. With a BUNDLE: the calls that \
     \"create\" would make now. With a CONTAINER: those that made it. With neither: those that \
     \"run\" would make with the same options. Nothing is run, unless --analyze asks for it. \
     The plan that is printed is the plan that init runs." =>
        "每个调用列在它所服务的 config.json 属性之下。给出 BUNDLE：现在 \"create\" 会做的调用。\
         给出 CONTAINER：建立它时做过的调用。都不给：以同样选项 \"run\" 会做的调用。除非给出 \
         --analyze，什么也不运行。打印的计划就是 init 执行的计划。",
    "A directory with a config.json, or the id of a container." =>
        "含有 config.json 的目录，或容器的 id。",
    "The program of a container without a bundle; default: a shell." =>
        "没有容器包时容器的程序；默认是 shell。",
    "of /srv/web/config.json" => "/srv/web/config.json 的",
    "of the container web" => "容器 web 的",
    "of \"tiny-ce run --read-only -- make\"" => "\"tiny-ce run --read-only -- make\" 的",
    "the container's world, as a picture" => "把容器的全貌画成图",
    "where the time of a container goes" => "容器的时间花在哪里",
    "as a picture" => "画成图",
    "Print every operation that a plan can have." => "打印计划里可能出现的每一种操作。",
    "Each is one system call with the fields that the plan has for it, and init can do nothing \
     else. The steps that \"explain\" prints are such operations." =>
        "每一种是一个系统调用，以及计划为它给出的字段；init 只会做这些。\"explain\" \
         打印的步骤就是这样的操作。",
    "the operations about mounts" => "与挂载有关的操作",
    "Write a config.json to start from." => "写出一份可以修改的 config.json。",
    "The file is for a shell whose root is the directory rootfs beside it. With --embedded, \
     with an option of \"Container without a bundle\" or with a command, it is the one that \
     \"tiny-ce run\" uses with the same options and no bundle. An existing file is not \
     overwritten." =>
        "写出的文件描述一个 shell，它的根是旁边的目录 rootfs。给出 --embedded、\
         \"没有容器包的容器\" 一节的选项或一个命令时，写出的是 \"tiny-ce run\" \
         用同样选项而没有容器包时所用的文件。已有的文件不会被覆盖。",
    "The program of the container; default: a shell." => "容器的程序；默认是 shell。",
    "write web/config.json" => "写出 web/config.json",
    "show what run makes of these options" => "看看 run 怎样理解这些选项",
    "Check a bundle's config.json without running anything." =>
        "检查容器包的 config.json，什么也不运行。",
    "All errors are printed at once, each with its line; the exit status is then 1." =>
        "一次打印全部错误，每一处都有行号；这时退出状态是 1。",
    "check web/config.json" => "检查 web/config.json",
    "Make a network: a bridge with a subnet." => "建立一个网络：一个带网段的网桥。",
    "Containers join it with \"tiny-ce run --network NAME\" and get an address of the subnet. \
     The first address is the bridge's; it is the default route of the containers." =>
        "容器用 \"tiny-ce run --network NAME\" 加入，得到网段里的一个地址。第一个地址属于网桥，\
         是各个容器的默认路由。",
    "254 addresses, 10.0.0.1 the bridge's" => "254 个地址，10.0.0.1 属于网桥",
    "List networks, with their subnets and containers." => "列出网络，以及它们的网段和容器。",
    "Print a network, and the address of each container." => "打印一个网络，以及每个容器的地址。",
    "Its bridge, its subnet, and for each container the name of its interface inside and on the \
     host." =>
        "打印它的网桥和网段，以及每个容器的网络接口在容器内和宿主机上的名字。",
    "who has which address" => "谁用哪个地址",
    "Remove a network that no container is attached to." => "删除一个没有容器的网络。",
    "The network." => "网络。",
    "Boot a kernel in QEMU to run a container, and wait for its end." =>
        "在 QEMU 里启动一个内核来运行容器，等待它结束。",
    "The machine's initramfs is that of \"tiny-ce initramfs\" with the same options. The \
     container's output is ours, input and signals are passed on, and the exit status is the \
     container's. If there is none, since the kernel panics, QEMU fails or the time is over, \
     an error says so, with the end of the kernel's console, and the exit status is 125." =>
        "机器的初始内存文件系统与 \"tiny-ce initramfs\" 用同样选项做出的相同。\
         容器的输出就是本命令的输出，输入和信号都会转发，退出状态是容器的退出状态。\
         如果因为内核崩溃、QEMU 失败或超时而没有退出状态，错误信息会说明，\
         并附上内核控制台最后的内容，退出状态是 125。",
    "The program, in place of that of the config.json." => "要运行的程序，代替 config.json 里的。",
    "Image" => "镜像",
    "the container of test/config.json" => "test/config.json 的容器",
    "a shell on another kernel" => "在另一个内核上运行 shell",
    "Write an initramfs that runs a container." => "写出一个运行容器的初始内存文件系统。",
    "Its first process is tiny-ce, which runs the container of the bundle, or the COMMAND in \
     the files of --rootfs, and switches the machine off when it has ended. Files, owners, \
     modes and device nodes are written into the archive, so root is not needed. The same \
     files make the same bytes: all have the time of SOURCE_DATE_EPOCH, or 1970." =>
        "它的第一个进程是 tiny-ce，运行容器包的容器，或在 --rootfs 的文件里运行 COMMAND，\
         结束后关机。文件、属主、权限和设备节点直接写进归档，所以不需要 root。\
         同样的文件得到同样的字节：时间一律为 SOURCE_DATE_EPOCH，或 1970 年。",
    "from web/config.json and its root file system" => "由 web/config.json 和它的根文件系统",
    "without a bundle" => "没有容器包",
    "Print what this machine offers to containers, and what it lacks." =>
        "打印本机能为容器提供什么，缺少什么。",
    "Each item is ok, a warning, or missing, with a hint for what to do. The exit status is 1 \
     if no container can run at all, and 0 otherwise." =>
        "每一项是具备（ok）、警告（warn）或缺少（missing），并提示怎么办。\
         什么容器都不能运行时退出状态是 1，否则是 0。",
    "check for the calling user; root may see other results" =>
        "为当前用户检查；root 得到的结果可能不同",
    "Print what this runtime can do, as JSON." => "以 JSON 打印本运行时能做什么。",
    "The document is that of the specification's features.md, by which engines learn what a \
     runtime has. \"doctor\" prints what this machine has." =>
        "文档的格式见规范的 features.md，容器引擎由此得知运行时有哪些功能。\"doctor\" \
         打印的是本机有什么。",
    "Print the help of tiny-ce or of one command." => "打印 tiny-ce 或某个命令的帮助。",
    "The command; default: an overview." => "命令；默认打印概览。",
    "Print completions for a shell." => "打印 shell 的补全脚本。",
    "bash, zsh or fish." => "bash、zsh 或 fish。",
    "for every user's bash" => "供所有用户的 bash 使用",
    "for every user's zsh" => "供所有用户的 zsh 使用",
    "for your fish" => "供自己的 fish 使用",
    "Print the manual page of tiny-ce or of one command, in roff." =>
        "以 roff 打印 tiny-ce 或某个命令的手册页。",
    "With --directory it writes the pages of tiny-ce and of every command instead." =>
        "给出 --directory 时，写出 tiny-ce 和每个命令的手册页。",
    "The command; default: the page of tiny-ce itself." => "命令；默认是 tiny-ce 自己的手册页。",
    "read it at once" => "马上阅读",
    "install all pages" => "安装全部手册页",
}
