import { baseUrlOf, retriesOf } from '../shared/http.ts';
import { ChatAPIError } from './error.ts';
import { notificationRoutes, webhookRoutes } from './outgoing.ts';
import { clientRoutes, emailProviderRoutes, userRoutes } from './people.ts';
import type { ChatAPIConfig, ChatSocket, SocketOptions } from './public.d.ts';
import { Socket } from './socket.ts';
import { messageRoutes, roomRoutes } from './talk.ts';
import { Transport } from './transport.ts';

/**
 * Makes the class `ChatAPI` (sheet, section 17).
 *
 * @param newUuid a new random UUID at each call: where randomness comes from differs between platforms
 */
export function chatApiClass(newUuid: () => string) {
  return class ChatAPI {
    readonly clients;
    readonly emailProviders;
    readonly users;
    readonly rooms;
    readonly messages;
    readonly notifications;
    readonly webhooks;
    readonly #transport: Transport;
    readonly #WebSocket: ChatAPIConfig['WebSocket'];

    constructor(apiKey: string | null, config: ChatAPIConfig = {}) {
      if (apiKey !== null && (typeof apiKey !== 'string' || apiKey === ''))
        throw new ChatAPIError('new ChatAPI() needs an API key', 'INVALID_ARGUMENT');
      const { baseUrl = 'https://api.chatapi.dev/api/v1', retries, consistentReads = false } = config;
      const transport = new Transport({
        apiKey,
        baseUrl: baseUrlOf(baseUrl),
        retries: retriesOf(retries),
        consistentReads,
        newUuid,
      });
      this.#transport = transport;
      this.#WebSocket = config.WebSocket;
      this.clients = clientRoutes(transport);
      this.emailProviders = emailProviderRoutes(transport);
      this.users = userRoutes(transport);
      this.rooms = roomRoutes(transport);
      this.messages = messageRoutes(transport);
      this.notifications = notificationRoutes(transport);
      this.webhooks = webhookRoutes(transport);
    }

    get position(): string | null {
      return this.#transport.position;
    }

    connect(options: SocketOptions = {}): ChatSocket {
      const { apiKey, baseUrl } = this.#transport.settings;
      if (apiKey === null) throw new ChatAPIError('A socket needs an API key', 'INVALID_ARGUMENT');
      const WebSocket = this.#WebSocket ?? globalThis.WebSocket;
      if (WebSocket === undefined) {
        const text =
          'There is no WebSocket here: give a class of them to new ChatAPI(), such as that of the package ws';
        throw new ChatAPIError(text, 'NO_WEBSOCKET');
      }
      return new Socket({ url: `${baseUrl.replace(/^http/, 'ws')}/websocket/open`, apiKey, options, WebSocket });
    }

    async health(): Promise<boolean> {
      return (await this.#transport.bare({ method: 'GET', path: '/utils/health-check', isPublic: true })) === true;
    }
  };
}
