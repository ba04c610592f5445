# Built in one stage, run from another that holds only what the server needs.
FROM node:24-slim AS build
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts
COPY tsconfig.json tsconfig.build.json ./
COPY src ./src
COPY scripts ./scripts
RUN npm run build && npm prune --omit=dev --ignore-scripts

FROM node:24-slim
# The heap's slack, not the data, is what would grow without a limit; the smallest machine of fly.toml has 512 MB.
ENV NODE_OPTIONS=--max-old-space-size=256
ENV NODE_ENV=production HOST=0.0.0.0 PORT=3000 SYNCLINE_CONFIG=/app/config/syncline.config.ts
WORKDIR /app
COPY --from=build --chown=root:root /app/package.json ./
COPY --from=build --chown=root:root /app/node_modules ./node_modules
COPY --from=build --chown=root:root /app/dist ./dist
COPY drizzle ./drizzle
# Your integration: the configuration, its tables and their migrations. Replace it by your own folder.
COPY examples/github ./config
USER node
EXPOSE 3000
HEALTHCHECK --interval=15s --timeout=3s --start-period=20s --retries=3 \
  CMD ["node", "-e", "fetch('http://127.0.0.1:'+process.env.PORT+'/health').then(r=>process.exit(r.ok?0:1),()=>process.exit(1))"]
# Node itself is process 1, so that SIGTERM reaches the server and it can stop cleanly.
CMD ["node", "dist/main.js", "serve"]
