"""Which families there are: a row for every spelling of every dialect.  Data only."""

from __future__ import annotations

from typing import Any, Final

from family_writers import (
    M3,
    Family,
    apertus,
    command_r,
    command_r7b,
    dsml,
    gemma_call,
    json_object,
    kimi_k3,
    legacy_call,
    minimax_m3,
    mistral_array,
    named_json,
    python_call,
    python_dict,
    tagged,
)

_GLM_TAIL: Final = "</tool_call>"
_GLM45: Final = tagged(
    "<tool_call>%n\n", "<arg_key>%k</arg_key>\n<arg_value>%v</arg_value>\n", _GLM_TAIL
)
_GLM47: Final = tagged("<tool_call>%n", "<arg_key>%k</arg_key><arg_value>%v</arg_value>", _GLM_TAIL)
_INVOKE: Final = tagged(
    '<invoke name="%n">\n', '<parameter name="%k">%v</parameter>\n', "</invoke>"
)
_QWEN: Final = tagged(
    "<tool_call>\n<function=%n>\n",
    "<parameter=%k>\n%v\n</parameter>\n",
    "</function>\n</tool_call>",
)
_SEED: Final = tagged("<function=%n>\n", "<parameter=%k>%v</parameter>\n", "</function>\n")
_STEP3: Final = tagged(
    '<｜tool_call_begin｜>function<｜tool_sep｜><steptml:invoke name="%n">',
    '<steptml:parameter name="%k">%v</steptml:parameter>',
    "</steptml:invoke><｜tool_call_end｜>",
)
_MUSE: Final = tagged(
    ' to=%n<|message|><atem:function_calls>\n<atem:invoke name="%n">\n',
    '<atem:parameter name="%k">%v</atem:parameter>\n',
    "</atem:invoke>\n</atem:function_calls>",
)
_HY: Final = tagged(
    "<tool_call>%n<tool_sep>", "<arg_key>%k</arg_key><arg_value>%v</arg_value>", _GLM_TAIL
)
_HY_OPEN: Final = tagged(
    "<tool_call:opensource>%n<tool_sep:opensource>\n",
    "<arg_key:opensource>%k</arg_key:opensource>\n"
    "<arg_value:opensource>%v</arg_value:opensource>\n",
    "</tool_call:opensource>",
)
_DS3: Final = "<｜tool▁call▁begin｜>function<｜tool▁sep｜>%n\n```json\n"
_DS31: Final = "<｜tool▁call▁begin｜>%n<｜tool▁sep｜>"
_DS_HEAD: Final = "<｜tool▁calls▁begin｜>"
_DS_TAIL: Final = "<｜tool▁calls▁end｜>"
_DS_END: Final = "<｜tool▁call▁end｜>"
_KIMI: Final = "<|tool_call_begin|>functions.%n:%i<|tool_call_argument_begin|>"
_SOLAR: Final = "<|tool_call:begin|>call_00000000%i<|tool_call:name|>%n<|tool_call:args|>"
_HARMONY: Final = "<|channel|>commentary to=functions.%n <|constrain|>json<|message|>"
_HARMONY_NEXT: Final = "<|end|><|start|>assistant"
_EOM: Final = "<|eom|><|start|>assistant"
_REACT: Final = "Thought: this needs a tool.\nAction: %n\nAction Input: "
_DSML_CALLS: Final = "<｜DSML｜function_calls>\n", "\n</｜DSML｜function_calls>"
_DSML_V4: Final = "<｜DSML｜tool_calls>\n", "\n</｜DSML｜tool_calls>"
_DSML_TAIL: Final = "\n</｜DSML｜invoke>"
_SEED_THINK: Final = ("<seed:think>", "</seed:think>")


def _array(id: str, head: str, tail: str, **more: Any) -> Family:
    """A family whose calls are the elements of one JSON array."""
    more.setdefault("one", json_object())
    more.setdefault("mention", head.strip().rstrip("[").strip())
    if tail.endswith(">"):
        more.setdefault("closes", (tail.removeprefix("\n").removeprefix("]"), tail))
        more.setdefault("ends", tail)
    return Family(id, head=head, sep=", ", tail=tail, **more)


FAMILIES: Final = (
    Family("hermes", json_object("<tool_call>\n", "\n</tool_call>"), mention="<tool_call>",
           closes=("</tool_call>", "\n</tool_call>"), ends="</tool_call>"),
    _array("mistral", "[TOOL_CALLS] [", "]", variant="array", one=mistral_array,
           mention="[TOOL_CALLS]", think=("[THINK]", "[/THINK]")),
    Family("mistral", named_json("[TOOL_CALLS]%n[ARGS]"), variant="args", sep="",
           mention="[TOOL_CALLS]", think=("[THINK]", "[/THINK]")),
    Family("mistral", named_json("[TOOL_CALLS]%n[CALL_ID]xY7zK2mP%i[ARGS]"), variant="call_id",
           sep="", mention="[CALL_ID]", think=("[THINK]", "[/THINK]")),
    Family("llama3_json", json_object(args_key="parameters"), sep="; ", marked=False,
           variant="bare", mention="<|python_tag|>"),
    Family("llama3_json", json_object(args_key="parameters"), head="<|python_tag|>", sep="; ",
           variant="tag", mention="<|python_tag|>"),
    Family("deepseek_v3", named_json(_DS3, "\n```" + _DS_END), head=_DS_HEAD, tail=_DS_TAIL,
           mention=_DS_HEAD, closes=(_DS_TAIL, _DS_END + _DS_TAIL), ends=_DS_TAIL),
    Family("deepseek_v31", named_json(_DS31, _DS_END), head=_DS_HEAD, sep="", tail=_DS_TAIL,
           mention=_DS_HEAD, closes=(_DS_TAIL, _DS_END + _DS_TAIL), ends=_DS_TAIL),
    Family("kimi_k2", named_json(_KIMI, "<|tool_call_end|>"), sep="",
           head="<|tool_calls_section_begin|>", tail="<|tool_calls_section_end|>",
           mention="<|tool_calls_section_begin|>", ends="<|tool_calls_section_end|>",
           closes=("<|tool_calls_section_end|>",
                   "<|tool_call_end|><|tool_calls_section_end|>")),
    _array("granite", "<|tool_call|>[", "]", variant="v3"),
    _array("granite", "<tool_call>[", "]", variant="v31"),
    Family("granite_20b_fc", json_object("<function_call> "), mention="<function_call>"),
    _array("phi4", "functools[", "]"),
    _array("firefunction", " functools[", "]"),
    _array("jamba", " <tool_calls>[\n    ", "\n]</tool_calls>", mention="<tool_calls>"),
    _array("apriel", "\n<tool_calls>[", "]</tool_calls>", orphan=True,
           think=("Here are my reasoning steps:\n", "\n[BEGIN FINAL RESPONSE]\n")),
    _array("hunyuan_a13b", "<tool_calls>[", "]</tool_calls>",
           answer="<answer>\n{text}\n</answer>"),
    Family("minimax_m1", json_object(), head="<tool_calls>\n", tail="\n</tool_calls>",
           mention="<tool_calls>", closes=("</tool_calls>", "\n</tool_calls>"),
           ends="</tool_calls>"),
    _array("nemotron", "<TOOLCALL>[", "]</TOOLCALL>"),
    _array("xlam", "[", "]", marked=False, variant="bare", mention="tool_calls"),
    _array("xlam", "<tool_call>[", "]</tool_call>", variant="tag"),
    Family("internlm2", json_object("<|action_start|><|plugin|>", "<|action_end|>",
                                    args_key="parameters"),
           mention="<|action_start|><|plugin|>", closes=("<|action_end|>",),
           ends="<|action_end|>", many=False),
    Family("ernie45", json_object("<tool_call>\n", "\n</tool_call>\n"), sep="",
           mention="<tool_call>", closes=("\n</tool_call>\n",), ends="</tool_call>\n",
           answer="<response>\n{text}\n</response>"),
    Family("longcat", json_object("<longcat_tool_call>", "</longcat_tool_call>"),
           mention="<longcat_tool_call>", closes=("</longcat_tool_call>",),
           ends="</longcat_tool_call>"),
    Family("gigachat3", json_object("<|message_sep|>\n\nfunction call<|role_sep|>\n"),
           many=False, variant="v3", lead="{text}{call}", mention="<|role_sep|>"),
    Family("gigachat3", json_object("<|function_call|>"), many=False, variant="v31",
           lead="{text}{call}", mention="<|function_call|>"),
    _array("apertus", "<|tools_prefix|>[", "]<|tools_suffix|>", one=apertus,
           think=("<|inner_prefix|>", "<|inner_suffix|>"), orphan=False),
    Family("command_r7b", command_r7b, head="<|START_ACTION|>[\n", sep=",\n",
           tail="\n]<|END_ACTION|>", mention="<|START_ACTION|>",
           closes=("<|END_ACTION|>", "\n]<|END_ACTION|>"), ends="<|END_ACTION|>",
           think=("<|START_THINKING|>", "<|END_THINKING|>"),
           answer="<|START_RESPONSE|>{text}<|END_RESPONSE|>"),
    Family("command_r", command_r, head="Action: ```json\n[\n", sep=",\n", tail="\n]```",
           marked=False, mention="Action:"),
    Family("inkling", named_json('<|message_model|>%n<|content_invoke_tool_json|>{"name": "%n", '
                                 '"args": ', "}<|end_message|>"), sep="",
           mention="<|content_invoke_tool_json|>", closes=("<|end_message|>",),
           ends="<|end_message|>", orphan=False,
           think=("<|message_model|><|content_thinking|>", "<|end_message|>")),
    Family("solar_open", named_json(_SOLAR, "<|tool_call:end|>"), head="<|tool_calls|>", sep="",
           tail="<|calls|>", mention="<|tool_calls|>", ends="<|calls|>",
           closes=("<|calls|>", "<|tool_call:end|><|calls|>")),
    _array("sarashina", "<|tool_calls|>[", "]", one=python_dict, style="python"),
    Family("functionary_v31", named_json("<function=%n>", "</function>"), sep="",
           mention="<function=name>", closes=("</function>",), ends="</function>"),
    Family("functionary_v32", named_json(">>>%n\n"), sep="", marked=False,
           lead=">>>all\n{text}{call}", answer=">>>all\n{text}", mention=">>>"),
    Family("functionary_v2", named_json("<|from|>assistant\n<|recipient|>%n\n<|content|>"),
           sep="<|stop|>\n", tail="<|stop|>", closes=("<|stop|>",), mention="<|recipient|>",
           lead="<|from|>assistant\n<|recipient|>all\n<|content|>{text}<|stop|>\n{call}",
           answer="<|from|>assistant\n<|recipient|>all\n<|content|>{text}<|stop|>"),
    Family("harmony", named_json(_HARMONY, "<|call|>"), sep="<|start|>assistant",
           closes=("<|call|>",), ends="<|call|>", mention="<|channel|>commentary",
           lead="<|channel|>commentary<|message|>{text}" + _HARMONY_NEXT + "{call}",
           answer="<|channel|>final<|message|>{text}", orphan=False,
           think=("<|channel|>analysis<|message|>", _HARMONY_NEXT)),
    Family("calling_tool_bracket", named_json("[Calling tool: %n(", ")]"),
           mention="[Calling tool:"),
    Family("gptme", named_json("@%n(call-%i): "), marked=False, mention="@tool"),
    _array("openai_legacy", '{"tool_calls": [', "]}", one=legacy_call, marked=False,
           mention="tool_calls"),
    Family("plain_json", json_object(), marked=False, mention='"arguments"'),
    Family("plain_json", json_object("```json\n", "\n```"), variant="fenced", marked=False,
           many=False, mention='"arguments"'),
    Family("plain_json_variants", json_object(name_key="tool", args_key="args"), marked=False,
           variant="tool", mention='"args"'),
    Family("plain_json_variants", json_object(name_key="action", args_key="action_input"),
           marked=False, variant="action", mention='"action_input"'),
    Family("plain_json_variants", json_object(name_key="function", args_key="parameters"),
           marked=False, variant="function", mention='"function"'),
    Family("plain_json_variants", json_object(name_key="tool_name", args_key="tool_input"),
           marked=False, variant="tool_name", mention='"tool_name"'),
    Family("chatml_fc", named_json("functions.%n:\n"), marked=False, mention="functions."),
    Family("qwen_agent_fn", named_json("✿FUNCTION✿: %n\n✿ARGS✿: "), tail="\n✿RESULT✿",
           mention="✿FUNCTION✿", closes=("\n✿RESULT✿",), ends="✿RESULT✿"),
    Family("react", named_json(_REACT), many=False, marked=False, mention="Action Input:",
           answer="Thought: that is enough.\nFinal Answer: {text}"),
    Family("qwen3_coder", _QWEN, style="text", mention="<tool_call>",
           closes=("\n</tool_call>", "</function>\n</tool_call>"), ends="</tool_call>"),
    Family("seed_oss", _SEED, head="<seed:tool_call>\n", sep="", tail="</seed:tool_call>",
           style="text", mention="<seed:tool_call>", ends="</seed:tool_call>",
           closes=("</seed:tool_call>", "</function>\n</seed:tool_call>"), think=_SEED_THINK),
    Family("glm45", _GLM45, style="text", mention="<tool_call>", closes=(_GLM_TAIL,),
           ends=_GLM_TAIL),
    Family("glm47", _GLM47, sep="", style="text", mention="<tool_call>", closes=(_GLM_TAIL,),
           ends=_GLM_TAIL),
    Family("hy_v3", _HY, head="<tool_calls>", sep="", tail="</tool_calls>", style="text",
           variant="plain", mention="<tool_sep>", ends="</tool_calls>",
           closes=("</tool_calls>", "</tool_call></tool_calls>")),
    Family("hy_v3", _HY_OPEN, head="<tool_calls:opensource>\n",
           tail="\n</tool_calls:opensource>", style="text", variant="opensource",
           mention="<tool_calls:opensource>", ends="</tool_calls:opensource>",
           closes=("\n</tool_calls:opensource>",
                   "</tool_call:opensource>\n</tool_calls:opensource>"),
           think=("<think:opensource>", "</think:opensource>")),
    Family("poolside", _GLM45, style="text", mention="<tool_call>", closes=(_GLM_TAIL,),
           ends=_GLM_TAIL),
    Family("minimax_m2", _INVOKE, head="<minimax:tool_call>\n", tail="\n</minimax:tool_call>",
           style="text", mention="<minimax:tool_call>", ends="</minimax:tool_call>",
           closes=("\n</minimax:tool_call>", "</invoke>\n</minimax:tool_call>")),
    Family("minimax_m3", minimax_m3, head=f"{M3}<tool_call>\n", sep="",
           tail=f"{M3}</tool_call>", style="text", mention=M3, ends="</tool_call>",
           closes=(f"{M3}</tool_call>", f"{M3}</invoke>\n{M3}</tool_call>"), own_markers=False,
           think=("<mm:think>", "</mm:think>")),
    Family("anthropic_xml", _INVOKE, head="<function_calls>\n", tail="\n</function_calls>",
           style="text", mention="<function_calls>", ends="</function_calls>",
           closes=("\n</function_calls>", "</invoke>\n</function_calls>")),
    Family("deepseek_dsml", dsml, head=_DSML_CALLS[0], tail=_DSML_CALLS[1], style="text",
           variant="v32", mention="<｜DSML｜function_calls>", ends=_DSML_CALLS[1],
           closes=(_DSML_CALLS[1], _DSML_TAIL + _DSML_CALLS[1])),
    Family("deepseek_dsml", dsml, head=_DSML_V4[0], tail=_DSML_V4[1], style="text",
           variant="v4", mention="<｜DSML｜tool_calls>", ends=_DSML_V4[1],
           closes=(_DSML_V4[1], _DSML_TAIL + _DSML_V4[1])),
    Family("step3", _STEP3, head="<｜tool_calls_begin｜>", sep="<｜tool_sep｜>",
           tail="<｜tool_calls_end｜>", style="text", mention="<｜tool_calls_begin｜>",
           ends="<｜tool_calls_end｜>",
           closes=("<｜tool_calls_end｜>", "<｜tool_call_end｜><｜tool_calls_end｜>")),
    Family("minicpm5", tagged('<function name="%n">', '<param name="%k">%v</param>',
                              "</function>"), style="text", mention='<function name="…">',
           closes=("</function>",), ends="</function>"),
    Family("muse_glimmer", _MUSE, sep=_EOM, tail="<|eot|>", style="text", ends="<|eot|>",
           mention="<atem:function_calls>", orphan=False, think=(" to=self<|message|>", _EOM),
           closes=("<|eot|>", "\n</atem:function_calls><|eot|>"),
           lead=" to=user<|message|>{text}" + _EOM + "{call}",
           answer=" to=user<|message|>{text}<|eot|>"),
    Family("kimi_k3", kimi_k3, head="<|open|>tools<|sep|>", sep="",
           tail="<|close|>tools<|sep|>", style="text", mention="<|open|>tools<|sep|>",
           ends="<|close|>tools<|sep|>", own_markers=False,
           closes=("<|close|>tools<|sep|>", "<|close|>call<|sep|><|close|>tools<|sep|>"),
           think=("<|open|>think<|sep|>", "<|close|>think<|sep|>"),
           lead="<|open|>response<|sep|>{text}<|close|>response<|sep|>{call}",
           answer="<|open|>response<|sep|>{text}<|close|>response<|sep|>"),
    Family("pythonic", python_call(), head="[", sep=", ", tail="]", style="python",
           marked=False, mention="[tool(argument=value)]"),
    Family("llama4_pythonic", python_call(), head="<|python_start|>[", sep=", ",
           tail="]<|python_end|>", style="python", mention="<|python_start|>",
           closes=("<|python_end|>", "]<|python_end|>"), ends="<|python_end|>"),
    Family("lfm2", python_call("'"), head="<|tool_call_start|>[", sep=", ",
           tail="]<|tool_call_end|>", style="python", mention="<|tool_call_start|>",
           closes=("<|tool_call_end|>", "]<|tool_call_end|>"), ends="<|tool_call_end|>"),
    Family("olmo3", python_call(), head="<function_calls>", tail="</function_calls>",
           style="python", mention="<function_calls>", closes=("</function_calls>",),
           ends="</function_calls>"),
    Family("gemma3", python_call(), head="```tool_code\n", tail="\n```", style="python",
           marked=False, mention="tool_code"),
    Family("functiongemma", gemma_call("<start_function_call>", "<escape>",
                                       "<end_function_call>"), sep="", style="literal",
           mention="<start_function_call>", closes=("<end_function_call>",),
           ends="<end_function_call>"),
    Family("gemma4", gemma_call("<|tool_call>", '<|"|>', "<tool_call|>"), sep="",
           style="literal", mention="<|tool_call>", closes=("<tool_call|>",),
           ends="<tool_call|>", orphan=False, think=("<|channel>thought\n", "<channel|>")),
)  # fmt: skip
"""Every spelling that rows are made for."""
