// dicomweb-client, with all that is binary as base64.

let client;

function connect(options) {
  client = new DICOMwebClient.api.DICOMwebClient(options);
}

function encoded(buffer) {
  const bytes = new Uint8Array(buffer);
  let text = "";
  for (let start = 0; start < bytes.length; start += 8192) {
    text += String.fromCharCode(...bytes.subarray(start, start + 8192));
  }
  return btoa(text);
}

function decoded(text) {
  return Uint8Array.from(atob(text), (one) => one.charCodeAt(0)).buffer;
}

/** Call a method of the client; returns its result, or the status and body of a refusal. */
async function call(method, options) {
  if (options.datasets) {
    options.datasets = options.datasets.map(decoded);
  }
  try {
    const result = await client[method](options);
    if (result instanceof ArrayBuffer) {
      return encoded(result);
    }
    const isBinary = Array.isArray(result) && result[0] instanceof ArrayBuffer;
    return isBinary ? result.map(encoded) : result;
  } catch (error) {
    if (error.status === undefined) {
      throw error;
    }
    const { response } = error;
    const text = response instanceof ArrayBuffer ? new TextDecoder().decode(response) : response;
    return { status: error.status, body: text };
  }
}

/** Fetch a whole object the old way. */
async function fetchByUri(options) {
  const answer = await fetch(client.buildInstanceWadoURIUrl(options));
  return [answer.status, answer.headers.get("Content-Type"), encoded(await answer.arrayBuffer())];
}
