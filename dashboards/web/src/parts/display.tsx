import { t, type Word } from '../i18n'
import { clockChoice, languageChoice, sizes, theme, traffic } from '../state'
import type { Signal } from '@preact/signals'

// Display holds the display settings, kept in the browser.
export function Display() {
  return (
    <div class="display">
      <Choice name={t('settings.theme')} of={theme} options={[['auto', 'settings.theme.auto'], ['dark', 'settings.theme.dark'], ['light', 'settings.theme.light']]} />
      <Choice name={t('settings.language')} of={languageChoice} options={[['auto', 'settings.theme.auto'], ['en', 'settings.language.en'], ['ko', 'settings.language.ko']]} />
      <Choice name={t('settings.clock')} of={clockChoice} options={[['h23', 'settings.clock.h23'], ['h12', 'settings.clock.h12']]} />
      <Choice name={t('settings.sizes')} of={sizes} options={[['binary', 'unit.binary'], ['decimal', 'unit.decimal']]} />
      <Choice name={t('settings.traffic')} of={traffic} options={[['bytes', 'unit.bytes'], ['bits', 'unit.bits']]} />
    </div>
  )
}

export function Choice<T extends string>({ name, of, options }: { name: string; of: Signal<T>; options: [T, Word][] }) {
  return (
    <fieldset class="choice">
      <legend>{name}</legend>
      <div class="segments">
        {options.map(([value, word]) => (
          <button key={value} type="button" aria-pressed={of.value === value} onClick={() => { of.value = value }}>{t(word)}</button>
        ))}
      </div>
    </fieldset>
  )
}
