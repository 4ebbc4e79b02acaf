// Servers on loopback for cases, which close them.

import { once } from "node:events";
import { createServer, get } from "node:http";
import { connect } from "node:net";

/** A server, and what it was asked for. */
export async function listen(answer) {
  const asked = [];
  const server = createServer((request, response) => {
    asked.push(request.url);
    answer(request, response);
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  const address = `http://127.0.0.1:${server.address().port}`;
  const close = () => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  };
  return { address, asked, close, server };
}

/** A proxy, which has what a server has, whomever it is asked for. */
export async function proxyOf({ address }) {
  const { hostname, port } = new URL(address);
  const proxy = await listen(({ url }, response) => {
    get(new URL(new URL(url).pathname, address), (answer) => answer.pipe(response.writeHead(answer.statusCode)));
  });
  proxy.server.on("connect", ({ url }, socket) => {
    proxy.asked.push(url);
    const tunnel = connect(port, hostname, () => {
      socket.write("HTTP/1.1 200 OK\r\n\r\n");
      socket.pipe(tunnel).pipe(socket);
    });
    tunnel.on("error", () => socket.destroy());
    socket.on("error", () => tunnel.destroy()).on("close", () => tunnel.destroy());
  });
  return proxy;
}

/** Answers every request with the same bytes. */
export const has = (bytes) => (_, response) => response.end(bytes);
