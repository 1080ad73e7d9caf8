// A certified OpenID provider on https://localhost, with a client that may ask for tokens for itself.
//
// Arguments: a PEM file with a key and its certificate; the audience of its tokens. It prints its address as a
// line of JSON, then one for each line that it reads: {"do": "rotate"} signs with a new key and publishes the
// old ones too; {"do": "requests"} tells the paths that were asked for since the last time. It ends with its
// input.
import { generateKeyPairSync } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:https";
import { createInterface } from "node:readline";
import Provider from "oidc-provider";

const [file, audience] = process.argv.slice(2);
const pem = readFileSync(file);
const keys = [];
let requests = [];
let answer;

console.info = console.warn; // the provider gives advice there: what it prints is ours
const say = (value) => console.log(JSON.stringify(value));

function addKey() {
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  keys.unshift({ ...privateKey.export({ format: "jwk" }), kid: `key-${keys.length + 1}`, use: "sig", alg: "RS256" });
}

function open(issuer) {
  const provider = new Provider(issuer, {
    jwks: { keys },
    clients: [
      {
        client_id: "ci",
        client_secret: "secret-for-tests-only",
        grant_types: ["client_credentials"],
        redirect_uris: [],
        response_types: [],
      },
    ],
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => audience,
        getResourceServerInfo: () => ({ scope: "", audience, accessTokenFormat: "jwt", accessTokenTTL: 3600 }),
      },
    },
    extraTokenClaims: () => ({ team: "search" }),
  });
  answer = provider.callback();
}

const server = createServer({ key: pem, cert: pem }, (request, response) => {
  requests.push(request.url);
  response.setHeader("connection", "close");
  answer(request, response);
});

server.listen(0, "127.0.0.1", () => {
  const issuer = `https://localhost:${server.address().port}`;
  addKey();
  open(issuer);
  say({ issuer });
  createInterface({ input: process.stdin })
    .on("line", (line) => {
      const { do: what } = JSON.parse(line);
      if (what === "rotate") {
        addKey();
        open(issuer);
      }
      say({ keys: keys.map((key) => key.kid), requests });
      requests = [];
    })
    .on("close", () => process.exit());
});
