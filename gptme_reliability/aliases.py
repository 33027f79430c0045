"""Other words for tools and parameters, and names that are commands in their own right."""

from __future__ import annotations

from typing import Final

_TOOLS: Final = {
    "shell": (
        "bash sh zsh terminal console command execute_command run_command "
        "run_terminal_cmd run_shell run_shell_command execute_shell execute_bash run_bash "
        "shell_command shell_exec bash_tool exec_command run_in_terminal"
    ),
    "ipython": (
        "python python3 py execute_python run_python run_code execute_code code_interpreter "
        "python_interpreter jupyter python_repl repl"
    ),
    "save": "write write_file writefile create_file save_file file_write write_to_file",
    "append": "append_file append_to_file file_append",
    "read": "read_file readfile open_file view_file view cat file_read",
    "complete": "finish done task_complete attempt_completion final",
    "browser": "browse open_url web_browser",
}
TOOL_ALIASES: Final = {alias: tool for tool, names in _TOOLS.items() for alias in names.split()}
"""Another word → the tool that is meant by it, wherever that tool is on offer."""

PARAMETER_ALIASES: Final[dict[str, frozenset[str]]] = {
    "command": frozenset({"cmd", "commands", "script", "bash", "shellcommand", "commandline"}),
    "code": frozenset({"source", "python", "script", "snippet", "pythoncode", "sourcecode"}),
    "path": frozenset(
        {"file", "filename", "filepath", "targetfile", "pathname", "filepathname", "targetpath"}
    ),
    "filepath": frozenset({"file", "filename", "path", "targetfile"}),
    "filename": frozenset({"file", "filepath", "path"}),
    "content": frozenset({"text", "contents", "body", "data", "filecontent", "filecontents"}),
    "query": frozenset({"q", "search", "searchquery", "searchterm", "question"}),
    "url": frozenset({"uri", "link", "href", "website", "webpage"}),
    "message": frozenset({"msg", "text"}),
    "city": frozenset({"town", "cityname"}),
    "location": frozenset({"place", "loc"}),
}
"""A parameter's folded name → other folded names for it."""

_COMMANDS: Final = (
    "awk bash cargo chmod chown clear cmake curl docker export find gcc git grep gzip head java "
    "javac kill kubectl less locate make mkdir mount node patch path perl ping printf python "
    "python3 read rename rmdir rsync rustc screen scp sed service sh sleep sort split ssh stat "
    "sudo systemctl tail tar tee time tmux top touch tree type umount uname uniq unzip vi vim "
    "wget which xargs yarn zip"
)
KNOWN_COMMANDS: Final = frozenset(_COMMANDS.split())
"""Programs: a name that is one of these was meant as itself, however near a tool's name is."""

_PLACES: Final = (
    "sandbox remote prod production staging docker container ssh vm cloud kubernetes k8s"
)
OTHER_PLACES: Final = frozenset(_PLACES.split())
"""Namespaces that say that a tool runs somewhere else than the one on offer."""

_RESTRICTING: Final = (
    "dry simulate simulated preview confirm only except exclude include filter if when unless "
    "cwd dir directory folder workdir workspace root base chdir host hostname server remote user "
    "username sudo sandbox container env environment args argv arguments parameters stdin input "
    "inputs mode append overwrite force backup safe recursive lines line range start end from to "
    "offset limit max min count first last files paths path file background async detach shell "
    "interactive interpreter encoding version branch revision execute run apply commit active "
    "enabled disabled skip approve approved date day datetime since until before after"
)
RESTRICTING: Final = frozenset(_RESTRICTING.split())
"""Words in an argument's name that speak of where, how far or under which condition."""
