// An OpenID provider for the tests. Each line of its standard input is a JSON object
// {keys, clients}: it then serves with these signing keys (the first one signs) and prints
// its address, the same every time.
import { createServer } from "node:http";
import { createInterface } from "node:readline";
import { Provider } from "oidc-provider";

const algorithms = { RSA: "RS256", EC: "ES256", OKP: "EdDSA" };

function provide(issuer, { keys, clients }) {
  const alg = algorithms[keys[0].kty];
  return new Provider(issuer, {
    jwks: { keys },
    enabledJWA: { idTokenSigningAlgValues: Object.values(algorithms) },
    clients: clients.map((id) => ({
      client_id: id,
      client_secret: `${id}-secret`,
      grant_types: ["client_credentials"],
      redirect_uris: [],
      response_types: [],
      id_token_signed_response_alg: alg,
    })),
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (_context, resource) => ({
          scope: "model:read inference:create",
          audience: resource,
          accessTokenTTL: 600,
          accessTokenFormat: "jwt",
          jwt: { sign: { alg } },
        }),
      },
    },
    extraTokenClaims: () => ({
      org: "research",
      realm_access: { roles: ["ml-team", "unknown-team"] },
      "https://claims.example.com/department": "care",
      clearance: 3,
    }),
  });
}

let serve = (_request, response) => response.writeHead(503).end();
const server = createServer((request, response) => serve(request, response));
server.listen(Number(process.env.PORT || 0), "127.0.0.1", async () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  for await (const line of createInterface({ input: process.stdin })) {
    serve = provide(issuer, JSON.parse(line)).callback();
    console.log(`serving at ${issuer}`);
  }
  process.exit(0); // whoever started it is gone
});
