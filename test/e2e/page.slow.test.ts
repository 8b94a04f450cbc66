import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { chromium, type Browser, type Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openInferenceProtocol, predictProtocol } from '../../src/stages/serve/index.js';
import { flowers, makeShelf, type Shelf } from '../stages/serve/releases.js';
import { start, type Served } from '../stages/serve/start.js';

const executablePath = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(
  (path) => existsSync(path),
);
/** A folder for pictures of the page; none are taken without it. */
const pictures = process.env['MAAS_SCREENSHOTS'];

describe.skipIf(executablePath === undefined)(
  'the page in a browser (needs chromium: apt-get install chromium)',
  () => {
    let shelf: Shelf;
    let served: Served;
    let browser: Browser;
    beforeAll(async () => {
      shelf = await makeShelf();
      served = await start(await shelf.add(flowers()), {
        protocols: [predictProtocol, openInferenceProtocol],
      });
      browser = await chromium.launch({ executablePath: executablePath!, args: ['--no-sandbox'] });
    }, 60_000);
    afterAll(async () => {
      await browser.close();
      await served.stop();
      await shelf.remove();
    });

    /** The page at this width, and what went wrong or elsewhere while it was open. */
    async function open(width: number): Promise<{ page: Page; troubles: string[] }> {
      const troubles: string[] = [];
      const page = await browser.newPage({ viewport: { width, height: 900 } });
      page.on('pageerror', (error) => troubles.push(String(error)));
      page.on('console', (message) => {
        if (message.type() === 'error') troubles.push(message.text());
      });
      page.on('request', (request) => {
        if (!request.url().startsWith(served.url)) troubles.push(`asked ${request.url()}`);
      });
      await page.goto(served.url);
      return { page, troubles };
    }

    async function askDirectly(): Promise<{ label: string; probabilities: Record<string, number> }> {
      const answer = await served.post('/predict', { height: 0.1, width: 2, colour: 'red' });
      return (await answer.json()) as { label: string; probabilities: Record<string, number> };
    }

    it.each([1280, 390])(
      'predicts, explains itself and fits, %i pixels wide',
      { timeout: 60_000 },
      async (width) => {
        const { page, troubles } = await open(width);
        await page.getByLabel('height').fill('0.1');
        await page.getByLabel('width').fill('2');
        await page.getByLabel('colour').selectOption('red');
        await page.getByRole('button', { name: 'Predict' }).click();
        const result = page.locator('.result');
        await result.waitFor();
        const asked = await askDirectly();
        expect(await result.textContent()).toBe(asked.label);
        const bars = await page.locator('.row').allTextContents();
        expect(bars).toHaveLength(3);
        expect(bars[0]).toContain(`${(100 * Math.max(...Object.values(asked.probabilities))).toFixed(1)} %`);
        expect(await page.locator('#answer p').textContent()).toMatch(/^\d+\.\d ms$/);
        // Counted on the server, and drawn within its next look.
        await served.post('/predict', { height: 1, width: 2, colour: 'red' });
        const drawn = async (): Promise<string> =>
          (await page.locator('polyline').first().getAttribute('points')) ?? '';
        while ((await drawn()).split(' ').length < 2)
          await new Promise((resolve) => setTimeout(resolve, 100));
        expect(await page.locator('figcaption').allTextContents()).toHaveLength(3);
        const overflow = await page.evaluate('document.documentElement.scrollWidth - innerWidth');
        expect(overflow).toBeLessThanOrEqual(0);
        if (pictures !== undefined) {
          await mkdir(pictures, { recursive: true });
          await page.screenshot({ path: join(pictures, `page-${width}.png`), fullPage: true });
        }
        expect(troubles).toEqual([]);
        await page.close();
      },
    );

    it('gives code that does as the form does', { timeout: 60_000 }, async () => {
      const { page, troubles } = await open(1280);
      await page.getByLabel('height').fill('0.1');
      await page.getByLabel('width').fill('2');
      const expected = await askDirectly();
      const run = async (tab: string, program: string, ...args: string[]): Promise<string> => {
        await page.getByRole('tab', { name: tab }).click();
        const code = (await page.locator('#code').textContent()) ?? '';
        const { stdout, failed } = await execa(program, [...args, code], { reject: false });
        if (failed && (await execa(program, ['--version'], { reject: false })).failed) {
          console.log(`skipped: no ${program} here to run the code with`);
          return JSON.stringify(expected);
        }
        return stdout;
      };
      for (const printed of [
        await run('curl', 'bash', '-c'),
        await run('Python', 'python3', '-c'),
        await run('JavaScript', process.execPath, '--input-type=module', '-e'),
      ]) {
        // Each language prints objects in its own way.
        for (const [name, value] of Object.entries(expected.probabilities)) {
          expect(printed).toContain(name);
          expect(printed).toContain(String(value));
        }
        expect(printed).toContain(expected.label);
      }
      expect(troubles).toEqual([]);
      await page.close();
    });
  },
);
