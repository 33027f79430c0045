// OpenAI's client for Node in front of the proxy: run by test_proxy_node.py, which answers for
// the server by the word in the first message.  Prints one JSON line for each case.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [modules, baseURL] = process.argv.slice(2);
const path = createRequire(modules + "/").resolve("openai");
const { default: OpenAI } = await import(pathToFileURL(path));

const client = new OpenAI({ baseURL, apiKey: "none", maxRetries: 0 });
const look = {
  type: "function",
  function: {
    name: "look",
    parameters: {
      type: "object",
      properties: { place: { type: "string" } },
      required: ["place"],
      additionalProperties: false,
    },
  },
};
const asking = (word, more) => ({
  model: "tiny",
  messages: [{ role: "user", content: word }],
  tools: [look],
  ...more,
});
const create = (word, more, options) => client.chat.completions.create(asking(word, more), options);
const made = (message) =>
  (message.tool_calls ?? []).map((c) => [c.function.name, JSON.parse(c.function.arguments)]);

const cases = {
  async "a call in text"() {
    const { choices } = await create("in-text");
    assert.deepEqual(made(choices[0].message), [["look", { place: "hall" }]]);
    assert.equal(choices[0].finish_reason, "tool_calls");
  },
  async "parallel calls"() {
    const { choices } = await create("two");
    assert.deepEqual(made(choices[0].message), [
      ["look", { place: "hall" }],
      ["look", { place: "attic" }],
    ]);
  },
  async "a cut call is asked for again"() {
    const { data, response } = await create("cut").withResponse();
    assert.deepEqual(made(data.choices[0].message), [["look", { place: "hall" }]]);
    assert.equal(response.headers.get("x-reliability-attempts"), "2");
    assert.equal(data.usage.total_tokens, 30);
  },
  async "a stream, event by event"() {
    let text = "";
    let args = "";
    let usage = null;
    const more = { stream: true, stream_options: { include_usage: true } };
    for await (const event of await create("stream", more)) {
      const delta = event.choices[0]?.delta;
      text += delta?.content ?? "";
      args += delta?.tool_calls?.[0]?.function?.arguments ?? "";
      usage = event.usage ?? usage;
    }
    assert.equal(text, "I look.");
    assert.deepEqual(JSON.parse(args), { place: "hall" });
    assert.equal(usage.total_tokens, 15);
  },
  async "the streaming helper"() {
    const stream = client.chat.completions.stream(asking("stream"));
    const seen = [];
    stream.on("tool_calls.function.arguments.done", (event) => seen.push(event.arguments));
    const final = await stream.finalChatCompletion();
    assert.deepEqual(made(final.choices[0].message), [["look", { place: "hall" }]]);
    assert.deepEqual(seen.map((one) => JSON.parse(one)), [{ place: "hall" }]);
  },
  async "a stream in text"() {
    const final = await client.chat.completions.stream(asking("in-text")).finalChatCompletion();
    assert.deepEqual(made(final.choices[0].message), [["look", { place: "hall" }]]);
  },
  async "tools that the client runs"() {
    const places = [];
    const run = async ({ place }) => (places.push(place), "a hall");
    const tool = { ...look, function: { ...look.function, parse: JSON.parse, function: run } };
    const runner = client.chat.completions.runTools(asking("runner", { tools: [tool] }));
    assert.equal(await runner.finalContent(), "It is a hall.");
    assert.deepEqual(places, ["hall"]);
  },
  async "structured output"() {
    const schema = { type: "object", properties: { a: { type: "integer" } } };
    const format = { type: "json_schema", json_schema: { name: "x", schema } };
    const { choices } = await create("json", { response_format: format });
    assert.deepEqual(JSON.parse(choices[0].message.content), { a: 1 });
  },
  async "an error of the server"() {
    await assert.rejects(create("error"), (error) => {
      assert.ok(error instanceof OpenAI.RateLimitError);
      assert.equal(error.requestID, "req-7");
      return /no such luck/.test(error.message);
    });
  },
  async "a model that nobody describes"() {
    await assert.rejects(create("in-text", { model: "quizzical-9b" }, { maxRetries: 3 }), (error) => {
      assert.ok(error instanceof OpenAI.UnprocessableEntityError);
      assert.equal(error.code, "sampling_contract_unknown");
      return /No sampling card/.test(error.message);
    });
  },
  async "a second try"() {
    const { choices } = await create("busy-once", {}, { maxRetries: 2 });
    assert.equal(choices[0].message.content, "It is done.");
  },
  async "a stream that the client leaves"() {
    const stream = await create("endless", { stream: true });
    for await (const event of stream) if (event.choices[0].delta.content) break;
  },
  async "embeddings"() {
    const found = await client.embeddings.create({ model: "e", input: "x", encoding_format: "float" });
    assert.deepEqual(found.data[0].embedding, [0.5, -1]);
  },
  async "models"() {
    const ids = [];
    for await (const model of client.models.list()) ids.push(model.id);
    assert.deepEqual(ids, ["tiny"]);
  },
};

for (const [name, run] of Object.entries(cases)) {
  const error = await run().then(() => null, (fault) => String(fault?.stack ?? fault));
  console.log(JSON.stringify({ name, error }));
}
